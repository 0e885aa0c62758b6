//! LoRA adapters as PEFT writes them: adapter_config.json and adapter_model.safetensors.

use crate::{CheckpointError, Shape, TensorSpec, write_atomically, write_json};
use candle_core::{DType, Device};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// What PEFT puts before the name of a module.
const PREFIX: &str = "base_model.model.";

/// The fields of adapter_config.json that decide what an adapter computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    /// Rank.
    pub r: usize,
    /// Scale of the product, times `r` or its root.
    pub lora_alpha: f64,
    /// Share of inputs that are dropped while training.
    #[serde(default)]
    pub lora_dropout: f64,
    /// Whether the scale is `lora_alpha / sqrt(r)` instead of `lora_alpha / r`.
    #[serde(default)]
    pub use_rslora: bool,
    /// The base, as whoever trained the adapter called it.
    #[serde(default)]
    pub base_model_name_or_path: Option<String>,
}

impl AdapterConfig {
    /// The factor of `B A x`.
    pub fn scale(&self) -> f64 {
        self.lora_alpha / if self.use_rslora { (self.r as f64).sqrt() } else { self.r as f64 }
    }
}

/// The two matrices on one projection.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterMatrix {
    /// The projection.
    pub target: TensorSpec,
    /// `[rank, inputs]`.
    pub a: Vec<f32>,
    /// `[outputs, rank]`.
    pub b: Vec<f32>,
}

/// A LoRA.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Rank and scale.
    pub config: AdapterConfig,
    /// In the order of the base's tensors.
    pub matrices: Vec<AdapterMatrix>,
}

/// Which projections get a LoRA.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Every projection of every block.
    All,
    /// The projections of these module names.
    Named(Vec<String>),
}

impl Targets {
    /// The projections of `shape` that are meant; a name that it does not have is refused.
    pub fn of(&self, shape: &Shape) -> Result<Vec<TensorSpec>, CheckpointError> {
        let mut projections = shape.tensors();
        projections.retain(TensorSpec::is_projection);
        let Targets::Named(names) = self else { return Ok(projections) };
        if let Some(found) = names.iter().find(|name| !projections.iter().any(|spec| spec.module_name() == **name)) {
            let mut known: Vec<&str> = projections.iter().map(TensorSpec::module_name).collect();
            known.sort_unstable();
            known.dedup();
            return Err(CheckpointError::Target { found: found.clone(), known: known.join(", ") });
        }
        projections.retain(|spec| names.iter().any(|name| name == spec.module_name()));
        Ok(projections)
    }
}

impl Adapter {
    /// Reads the adapter of a folder, which must be one of a model of `shape`.
    pub fn read(folder: &Path, shape: &Shape) -> Result<Adapter, CheckpointError> {
        let config = read_config(folder)?;
        let path = folder.join("adapter_model.safetensors");
        std::fs::File::open(&path).map_err(CheckpointError::io(&path))?;
        let mut tensors =
            candle_core::safetensors::load(&path, &Device::Cpu).map_err(CheckpointError::damaged(&path))?;
        let refuse = |reason: String| CheckpointError::Adapter { reason, path: folder.to_owned() };
        let mut take = |spec: &TensorSpec, half: &str, wanted: [usize; 2]| {
            let name = format!("{PREFIX}{}.lora_{half}.weight", spec.module());
            let Some(tensor) = tensors.remove(&name) else { return Ok(None) };
            if tensor.dims() != wanted {
                let found = tensor.dims().to_vec();
                return Err(refuse(format!("{name} has shape {found:?}, base and rank want {wanted:?}")));
            }
            let values = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1::<f32>());
            values.map(Some).map_err(CheckpointError::damaged(&path))
        };
        let mut matrices = Vec::new();
        for target in shape.tensors().into_iter().filter(TensorSpec::is_projection) {
            let a = take(&target, "A", [config.r, target.shape[1]])?;
            let b = take(&target, "B", [target.shape[0], config.r])?;
            match (a, b) {
                (Some(a), Some(b)) => matrices.push(AdapterMatrix { target, a, b }),
                (None, None) => {}
                _ => return Err(refuse(format!("{} has only one of its two matrices", target.module()))),
            }
        }
        if let Some(name) = tensors.keys().min() {
            return Err(refuse(format!("the base has no place for {name}")));
        }
        if matrices.is_empty() {
            return Err(refuse("it holds no matrices".into()));
        }
        Ok(Adapter { config, matrices })
    }

    /// Writes a PEFT folder.
    pub fn write(&self, folder: &Path) -> Result<(), CheckpointError> {
        std::fs::create_dir_all(folder).map_err(CheckpointError::io(folder))?;
        let rank = self.config.r;
        let path = folder.join("adapter_model.safetensors");
        let views = self.matrices.iter().flat_map(|matrix| {
            let [outputs, inputs] = [matrix.target.shape[0], matrix.target.shape[1]];
            [("A", vec![rank, inputs], &matrix.a), ("B", vec![outputs, rank], &matrix.b)].map(
                |(half, shape, values)| {
                    let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values));
                    let view = view.expect("an adapter's matrices have their shapes' lengths");
                    (format!("{PREFIX}{}.lora_{half}.weight", matrix.target.module()), view)
                },
            )
        });
        let views: Vec<_> = views.collect();
        write_atomically(&path, |to| {
            let metadata = [("format".to_string(), "pt".to_string())].into();
            safetensors::serialize_to_file(views, Some(metadata), to).map_err(CheckpointError::damaged(to))
        })?;
        let mut modules: Vec<&str> = self.matrices.iter().map(|matrix| matrix.target.module_name()).collect();
        modules.sort_unstable();
        modules.dedup();
        write_json(
            &folder.join("adapter_config.json"),
            &serde_json::json!({
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "base_model_name_or_path": self.config.base_model_name_or_path,
                "r": rank,
                "lora_alpha": self.config.lora_alpha,
                "lora_dropout": self.config.lora_dropout,
                "use_rslora": self.config.use_rslora,
                "target_modules": modules,
                "bias": "none",
                "fan_in_fan_out": false,
                "inference_mode": true,
                "init_lora_weights": true,
                "modules_to_save": null,
            }),
        )
    }
}

fn read_config(folder: &Path) -> Result<AdapterConfig, CheckpointError> {
    let path = folder.join("adapter_config.json");
    let text = std::fs::read_to_string(&path).map_err(CheckpointError::io(&path))?;
    let json: Value = serde_json::from_str(&text).map_err(CheckpointError::json(&path))?;
    let refuse = |field: &str, expected: &str| CheckpointError::Config {
        field: field.to_owned(),
        found: json[field].to_string(),
        expected: expected.to_owned(),
        path: path.clone(),
    };
    if json["peft_type"].as_str() != Some("LORA") {
        return Err(refuse("peft_type", "\"LORA\""));
    }
    if !matches!(json["bias"].as_str(), None | Some("none")) {
        return Err(refuse("bias", "\"none\""));
    }
    let is_off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(all) => all.is_empty(),
        _ => false,
    };
    for field in ["use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out", "lora_bias"] {
        if !is_off(&json[field]) {
            return Err(refuse(field, "unset: only plain LoRA is supported"));
        }
    }
    let config: AdapterConfig = serde_json::from_value(json.clone()).map_err(CheckpointError::json(&path))?;
    if config.r == 0 {
        return Err(refuse("r", "at least 1"));
    }
    Ok(config)
}
