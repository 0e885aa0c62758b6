//! What a run needs to go on as if it had never stopped: weights, moments and step, in one file.

use crate::device::Device;
use crate::optimizer::Trainer;
use crate::{Error, Result};
use checkpoint::write_atomically;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Numbers of a checkpoint beside its buffers. One entry of the file's metadata holds all of them, because metadata has no
/// order and equal checkpoints should be equal files.
type Notes = BTreeMap<String, String>;
const NOTES: &str = "notes";

/// Where a run keeps its checkpoint.
pub fn path(run: &Path) -> PathBuf {
    run.join("checkpoint").join("state.safetensors")
}

/// Saves `trainer` as the checkpoint of `run`, and its weights as `model.safetensors`.
pub fn save<D: Device>(trainer: &Trainer<D>, run: &Path) -> Result<()> {
    let state = trainer.state();
    trainer.check()?;
    write(run, &state, &[("step".to_string(), trainer.step.to_string())].into())?;
    write_atomically(&run.join("model.safetensors"), |to| trainer.model.map.save(&state[0].1, to))
}

/// Puts the checkpoint of `run` into `trainer`; false where there is none.
pub fn restore<D: Device>(trainer: &mut Trainer<D>, run: &Path) -> Result<bool> {
    let Some((buffers, notes)) = read(run, ["weights", "first", "second"], trainer.model.map.len)? else {
        return Ok(false);
    };
    trainer.set_state(buffers);
    trainer.step = number(&notes, "step", run)?;
    Ok(true)
}

/// Writes buffers and notes as the checkpoint of `run`.
pub(crate) fn write(run: &Path, buffers: &[(&str, Cow<'_, [f32]>)], notes: &Notes) -> Result<()> {
    let path = path(run);
    let folder = path.parent().expect("the path has a folder");
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let views = buffers.iter().map(|(name, values)| {
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
        (*name, view.expect("the shape is the length"))
    });
    let views: Vec<_> = views.collect();
    let metadata = [(NOTES.to_string(), serde_json::json!(notes).to_string())].into();
    write_atomically(&path, |to| {
        safetensors::serialize_to_file(views, Some(metadata), to)
            .map_err(|source| Error::Safetensors { source, path: to.to_owned() })
    })
}

/// The buffers of `length` values and the notes of the checkpoint of `run`; `None` where there is none.
pub(crate) fn read<const N: usize>(
    run: &Path,
    names: [&str; N],
    length: usize,
) -> Result<Option<([Vec<f32>; N], Notes)>> {
    let path = path(run);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let damaged = |source| Error::Safetensors { source, path: path.clone() };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut buffers = [const { Vec::new() }; N];
    for (name, values) in names.into_iter().zip(&mut buffers) {
        let view = file.tensor(name).map_err(damaged)?;
        if view.shape() != [length] || view.dtype() != Dtype::F32 {
            return Err(Error::Tensor {
                name: name.into(),
                expected: vec![length],
                found: format!("{:?} {}", view.shape(), view.dtype()),
                path,
            });
        }
        let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        *values = view.data().chunks_exact(4).map(value).collect();
    }
    let notes = header.metadata().as_ref().and_then(|metadata| metadata.get(NOTES));
    let notes = notes.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    Ok(Some((buffers, notes)))
}

/// A number among the notes of a checkpoint.
pub(crate) fn number<T: std::str::FromStr>(notes: &Notes, name: &str, run: &Path) -> Result<T> {
    notes.get(name).and_then(|text| text.parse().ok()).ok_or_else(|| Error::Tensor {
        name: format!("{name} (metadata)"),
        expected: vec![],
        found: "nothing".into(),
        path: path(run),
    })
}
