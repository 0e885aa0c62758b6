//! A LoRA as a GGUF of its own, which llama.cpp and our decoder put on a quantized base.

use crate::ExportError;
use crate::container::{Planned, write_files};
use crate::model::gguf_rows;
use crate::quantize::write_tensor;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use candle_core::{Device, Tensor};
use checkpoint::{Adapter, Shape};
use std::path::Path;

/// Writes `adapter` of a base of `shape` to `out`, in F16 or F32; `about` are further `general.*` texts.
pub fn write_adapter(
    adapter: &Adapter,
    shape: &Shape,
    dtype: GgmlDType,
    about: &[(String, String)],
    out: &Path,
) -> Result<(), ExportError> {
    let rank = adapter.config.r;
    let text = |text: &str| Value::String(text.to_owned());
    let mut metadata = vec![
        ("general.architecture".to_string(), text(shape.family.architecture())),
        ("general.type".to_string(), text("adapter")),
        ("adapter.type".to_string(), text("lora")),
        // Readers divide by the rank, also where the scale was made with its root.
        ("adapter.lora.alpha".to_string(), Value::F32((adapter.config.scale() * rank as f64) as f32)),
    ];
    metadata.extend(about.iter().map(|(key, value)| (format!("general.{key}"), text(value))));
    let planned: Vec<Planned> = adapter
        .matrices
        .iter()
        .flat_map(|matrix| {
            let [outputs, inputs] = [matrix.target.shape[0], matrix.target.shape[1]];
            [("a", vec![rank, inputs]), ("b", vec![outputs, rank])].map(|(half, shape)| {
                let name = format!("{}.lora_{half}", matrix.target.gguf);
                Planned { name, shape, dtype }
            })
        })
        .collect();
    write_files(out, &metadata, &planned, None, |index, file| {
        let matrix = &adapter.matrices[index / 2];
        let values = if index % 2 == 0 { &matrix.a } else { &matrix.b };
        let tensor = Tensor::from_slice(values, planned[index].shape.as_slice(), &Device::Cpu)?;
        let tensor = if index % 2 == 0 { tensor } else { gguf_rows(shape, matrix.target.part, &tensor)? };
        write_tensor(&tensor, dtype, None, file, out)
    })?;
    Ok(())
}
