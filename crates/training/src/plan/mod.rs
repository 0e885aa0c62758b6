//! The same run for other trainers: the data and a configuration that train the same LoRA on a larger machine.
//! The PEFT folder that comes back goes through `export` like one of ours.

mod rows;

pub use rows::Mixed;

use crate::base::ChatEncoder;
use crate::corpus::RoleFolder;
use crate::optimizer::Decay;
use crate::rocit::RocitOptions;
use crate::{Error, Result};
use checkpoint::{Base, write_atomically};
use rows::Rows;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Who is to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Trainer {
    /// Axolotl: chats and a config with the layout as a template.
    Axolotl,
    /// LLaMA-Factory: chats and a config; its own template of the family stands for the base's chat template.
    Llamafactory,
    /// transformers and PEFT under torchrun: token ids with the very loss mask of `train rocit`, and a script.
    Torchrun,
}

/// How many examples were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// To train on, by source.
    pub sources: Vec<Mixed>,
    /// Held out.
    pub held_out: usize,
    /// Left out: longer than --max-length, or of a role without a card.
    pub left_out: usize,
}

/// The script of [`Trainer::Torchrun`].
const SCRIPT: &str = include_str!("torchrun.py");

/// Writes the data and the configuration of `options` for `trainer` into `options.out`.
pub fn plan(trainer: Trainer, options: &RocitOptions) -> Result<Plan> {
    options.check()?;
    let base = Base::open(&options.base)?;
    if base.folder().is_none() {
        let file = options.base.display();
        return Err(Error::Argument(format!("other trainers want --base to be a Hugging Face folder: {file}")));
    }
    let encoder = ChatEncoder::read(&base, options.layout)?;
    let mut targets: Vec<String> =
        options.targets().of(base.shape())?.iter().map(|target| target.module_name().to_owned()).collect();
    targets.sort_unstable();
    targets.dedup();
    let roles = options.roles.as_deref().map(RoleFolder::read).transpose()?.unwrap_or_default();
    let read = |spec| Rows::read(spec, trainer, options, &encoder, &roles);
    let sources: Vec<Rows> = options.data.iter().map(read).collect::<Result<_>>()?;
    let (training, mixed) = rows::mix(&sources, options.seed);
    let held_out: Vec<&String> = sources.iter().flat_map(|source| &source.held_out).collect();
    let out = &options.out;
    fs::create_dir_all(out).map_err(Error::io(out))?;
    write(&out.join("train.jsonl"), &training)?;
    write(&out.join("eval.jsonl"), &held_out.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    match trainer {
        Trainer::Axolotl => {
            write(&out.join("axolotl.yaml"), &yaml(&axolotl(options, &targets, &encoder.template_text)))?;
        }
        Trainer::Llamafactory => {
            write(&out.join("llamafactory.yaml"), &yaml(&llamafactory(options, &targets)))?;
            write(&out.join("dataset_info.json"), &format!("{:#}\n", dataset_info()))?;
        }
        Trainer::Torchrun => {
            write(&out.join("config.json"), &format!("{:#}\n", torchrun(options, &targets)))?;
            write(&out.join("train.py"), SCRIPT)?;
        }
    }
    let left_out = sources.iter().map(|source| source.left_out).sum();
    Ok(Plan { held_out: held_out.len(), left_out, sources: mixed })
}

fn write(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, |to| fs::write(to, text).map_err(Error::io(to)))
}

/// Fields as YAML: every value of JSON is one of YAML.
fn yaml(fields: &[(&str, Value)]) -> String {
    fields.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

fn scheduler(options: &RocitOptions) -> &'static str {
    match options.schedule {
        Decay::Cosine => "cosine",
        Decay::Linear => "linear",
        Decay::Constant => "constant_with_warmup",
    }
}

fn length(options: &RocitOptions) -> (&'static str, Value) {
    options.steps.map_or(("num_train_epochs", options.epochs.into()), |steps| ("max_steps", steps.into()))
}

fn axolotl(options: &RocitOptions, targets: &[String], template: &str) -> Vec<(&'static str, Value)> {
    let data = |path: &str| {
        json!([{ "path": path, "ds_type": "json", "type": "chat_template", "field_messages": "messages",
            "roles_to_train": ["assistant"], "train_on_eos": "turn" }])
    };
    vec![
        ("base_model", json!(options.base)),
        ("datasets", data("train.jsonl")),
        ("test_datasets", data("eval.jsonl")),
        ("chat_template", "jinja".into()),
        ("chat_template_jinja", template.into()),
        ("adapter", "lora".into()),
        ("lora_r", options.rank.into()),
        ("lora_alpha", options.alpha.into()),
        ("lora_dropout", options.dropout.into()),
        ("lora_target_modules", json!(targets)),
        ("peft_use_rslora", options.rslora.into()),
        ("sequence_len", options.max_length.into()),
        ("sample_packing", true.into()),
        ("micro_batch_size", options.batch.into()),
        ("gradient_accumulation_steps", options.accumulation.into()),
        options.steps.map_or(("num_epochs", options.epochs.into()), |steps| ("max_steps", steps.into())),
        ("learning_rate", options.lr.into()),
        ("lr_scheduler", scheduler(options).into()),
        ("warmup_steps", options.warmup.into()),
        ("optimizer", "adamw_torch".into()),
        ("weight_decay", options.weight_decay.into()),
        ("max_grad_norm", options.clip.into()),
        ("seed", options.seed.into()),
        ("bf16", "auto".into()),
        ("gradient_checkpointing", options.recompute.into()),
        ("output_dir", "adapter".into()),
    ]
}

fn llamafactory(options: &RocitOptions, targets: &[String]) -> Vec<(&'static str, Value)> {
    vec![
        ("model_name_or_path", json!(options.base)),
        ("stage", "sft".into()),
        ("do_train", true.into()),
        ("finetuning_type", "lora".into()),
        ("lora_rank", options.rank.into()),
        ("lora_alpha", options.alpha.into()),
        ("lora_dropout", options.dropout.into()),
        ("lora_target", targets.join(",").into()),
        ("use_rslora", options.rslora.into()),
        ("dataset_dir", ".".into()),
        ("dataset", "roles_train".into()),
        ("eval_dataset", "roles_eval".into()),
        // `template` is left to the user: LLaMA-Factory knows families by names of its own.
        ("cutoff_len", options.max_length.into()),
        ("packing", true.into()),
        ("neat_packing", true.into()),
        ("per_device_train_batch_size", options.batch.into()),
        ("gradient_accumulation_steps", options.accumulation.into()),
        length(options),
        ("learning_rate", options.lr.into()),
        ("lr_scheduler_type", scheduler(options).into()),
        ("warmup_steps", options.warmup.into()),
        ("weight_decay", options.weight_decay.into()),
        ("max_grad_norm", options.clip.into()),
        ("seed", options.seed.into()),
        ("bf16", true.into()),
        ("output_dir", "adapter".into()),
    ]
}

fn dataset_info() -> Value {
    let data = |file: &str| {
        json!({
            "file_name": file,
            "formatting": "sharegpt",
            "columns": { "messages": "messages" },
            "tags": { "role_tag": "role", "content_tag": "content", "user_tag": "user",
                "assistant_tag": "assistant", "system_tag": "system" },
        })
    };
    json!({ "roles_train": data("train.jsonl"), "roles_eval": data("eval.jsonl") })
}

fn torchrun(options: &RocitOptions, targets: &[String]) -> Value {
    let (length, value) = length(options);
    json!({
        "base": options.base,
        "lora": { "r": options.rank, "lora_alpha": options.alpha, "lora_dropout": options.dropout,
            "use_rslora": options.rslora, "target_modules": targets, "task_type": "CAUSAL_LM" },
        "training": { "per_device_train_batch_size": options.batch,
            "gradient_accumulation_steps": options.accumulation, length: value, "learning_rate": options.lr,
            "lr_scheduler_type": scheduler(options), "warmup_steps": options.warmup,
            "weight_decay": options.weight_decay, "max_grad_norm": options.clip, "seed": options.seed,
            "gradient_checkpointing": options.recompute },
    })
}
