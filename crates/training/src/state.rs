//! What a run needs to go on as if it had never stopped: weights, moments and step, in one file.

use crate::optimizer::Trainer;
use crate::{Error, Result};
use checkpoint::write_atomically;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a run keeps its checkpoint.
pub fn path(run: &Path) -> PathBuf {
    run.join("checkpoint").join("state.safetensors")
}

/// Saves `trainer` as the checkpoint of `run`, and its weights as `model.safetensors`.
pub fn save(trainer: &Trainer, run: &Path) -> Result<()> {
    let buffers = [("weights", &trainer.weights), ("first", &trainer.first), ("second", &trainer.second)];
    write(run, &buffers, [("step".to_string(), trainer.step.to_string())].into())?;
    write_atomically(&run.join("model.safetensors"), |to| trainer.model.map.save(&trainer.weights, to))
}

/// Puts the checkpoint of `run` into `trainer`; false where there is none.
pub fn restore(trainer: &mut Trainer, run: &Path) -> Result<bool> {
    let Trainer { weights, first, second, .. } = trainer;
    let buffers = &mut [("weights", weights), ("first", first), ("second", second)];
    let Some(metadata) = read(run, buffers)? else { return Ok(false) };
    trainer.step = number(&metadata, "step", run)?;
    Ok(true)
}

/// Writes buffers and notes as the checkpoint of `run`.
pub(crate) fn write(run: &Path, buffers: &[(&str, &Vec<f32>)], notes: HashMap<String, String>) -> Result<()> {
    let path = path(run);
    let folder = path.parent().expect("the path has a folder");
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let views = buffers.iter().map(|(name, values)| {
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
        (*name, view.expect("the shape is the length"))
    });
    let views: Vec<_> = views.collect();
    write_atomically(&path, |to| {
        safetensors::serialize_to_file(views, Some(notes), to)
            .map_err(|source| Error::Safetensors { source, path: to.to_owned() })
    })
}

/// Fills buffers from the checkpoint of `run` and returns its notes; `None` where there is none.
pub(crate) fn read(run: &Path, buffers: &mut [(&str, &mut Vec<f32>)]) -> Result<Option<HashMap<String, String>>> {
    let path = path(run);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let damaged = |source| Error::Safetensors { source, path: path.clone() };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    for (name, values) in buffers {
        let view = file.tensor(name).map_err(damaged)?;
        if view.shape() != [values.len()] || view.dtype() != Dtype::F32 {
            return Err(Error::Tensor {
                name: (*name).into(),
                expected: vec![values.len()],
                found: format!("{:?} {}", view.shape(), view.dtype()),
                path,
            });
        }
        for (value, bytes) in values.iter_mut().zip(view.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    Ok(Some(header.metadata().clone().unwrap_or_default()))
}

/// A number among the notes of a checkpoint.
pub(crate) fn number<T: std::str::FromStr>(notes: &HashMap<String, String>, name: &str, run: &Path) -> Result<T> {
    notes.get(name).and_then(|text| text.parse().ok()).ok_or_else(|| Error::Tensor {
        name: format!("{name} (metadata)"),
        expected: vec![],
        found: "nothing".into(),
        path: path(run),
    })
}
