//! What a run needs to go on as if it had never stopped: weights, moments and step, in one file.

use crate::optimizer::Trainer;
use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Where a run keeps its checkpoint.
pub fn path(run: &Path) -> PathBuf {
    run.join("checkpoint").join("state.safetensors")
}

/// Replaces `path` in one go: whoever reads it, also after a crash, finds the old content or the new.
pub fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = path.with_extension("tmp");
    write(&temporary)?;
    File::open(&temporary).and_then(|f| f.sync_all()).map_err(Error::io(&temporary))?;
    fs::rename(&temporary, path).map_err(Error::io(path))
}

/// Saves `trainer` as the checkpoint of `run`, and its weights as `model.safetensors`.
pub fn save(trainer: &Trainer, run: &Path) -> Result<()> {
    let path = path(run);
    let folder = path.parent().expect("the path has a folder");
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let buffers = [("weights", &trainer.weights), ("first", &trainer.first), ("second", &trainer.second)];
    let views = buffers.map(|(name, values)| {
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
        (name, view.expect("the shape is the length"))
    });
    let metadata = [("step".to_string(), trainer.step.to_string())].into();
    write_atomically(&path, |to| {
        safetensors::serialize_to_file(views, Some(metadata), to)
            .map_err(|source| Error::Safetensors { source, path: to.to_owned() })
    })?;
    write_atomically(&run.join("model.safetensors"), |to| trainer.model.map.save(&trainer.weights, to))
}

/// Puts the checkpoint of `run` into `trainer`; false where there is none.
pub fn restore(trainer: &mut Trainer, run: &Path) -> Result<bool> {
    let path = path(run);
    if !path.is_file() {
        return Ok(false);
    }
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let damaged = |source| Error::Safetensors { source, path: path.clone() };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let Trainer { weights, first, second, .. } = trainer;
    for (name, values) in [("weights", weights), ("first", first), ("second", second)] {
        let view = file.tensor(name).map_err(damaged)?;
        if view.shape() != [values.len()] || view.dtype() != Dtype::F32 {
            return Err(Error::Tensor {
                name: name.into(),
                expected: vec![values.len()],
                found: format!("{:?} {}", view.shape(), view.dtype()),
                path,
            });
        }
        for (value, bytes) in values.iter_mut().zip(view.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    let step = header.metadata().as_ref().and_then(|m| m.get("step")).and_then(|s| s.parse().ok());
    trainer.step =
        step.ok_or(Error::Tensor { name: "step (metadata)".into(), expected: vec![], found: "nothing".into(), path })?;
    Ok(true)
}
