use crate::{ChatTemplate, Error};

/// The prompt layout of RoCIT (RoleLLM, arXiv 2310.00746, section 4), used for models that bring no chat template.
pub const ROCIT_TEMPLATE: &str = "\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ bos_token + '### Instruction:\n' + message.content + eos_token + '\n\n' }}
{%- elif message.role == 'user' -%}{{ '### Input:\n' + message.content + eos_token + '\n\n' }}
{%- elif message.role == 'assistant' -%}{{ '### Response:\n' + message.content + eos_token + '\n\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:\n' }}{%- endif -%}";

/// Stanford Alpaca; a system message takes the place of its preamble.
const ALPACA: &str = "\
{%- if messages and messages[0].role == 'system' -%}{%- set preamble = messages[0].content -%}
{%- else -%}{%- set preamble = 'Below is an instruction that describes a task. \
Write a response that appropriately completes the request.' -%}{%- endif -%}
{{ preamble + '\n\n' }}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{{ '### Instruction:\n' + message.content + '\n\n' }}
{%- elif message.role == 'assistant' -%}{{ '### Response:' + message.content + eos_token + '\n\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:' }}{%- endif -%}";

/// Vicuna 1.1 and later.
const VICUNA: &str = "\
{%- if messages and messages[0].role == 'system' -%}{%- set preamble = messages[0].content -%}
{%- else -%}{%- set preamble = 'A chat between a curious user and an artificial intelligence assistant. \
The assistant gives helpful, detailed, and polite answers to the user\\'s questions.' -%}{%- endif -%}
{{ preamble + ' ' }}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{{ 'USER: ' + message.content + ' ' }}
{%- elif message.role == 'assistant' -%}{{ 'ASSISTANT: ' + message.content + eos_token }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}";

/// LLaMA-2-Chat: the system message stands inside the first turn.
const LLAMA_2: &str = "\
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- set ns.system = '<<SYS>>\n' + message.content + '\n<</SYS>>\n\n' -%}
{%- elif message.role == 'user' -%}{{ bos_token + '[INST] ' + (ns.system + message.content) | trim + ' [/INST]' }}
{%- set ns.system = '' -%}
{%- elif message.role == 'assistant' -%}{{ ' ' + message.content | trim + ' ' + eos_token }}
{%- endif -%}
{%- endfor -%}";

const LLAMA_3: &str = "\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}";

/// Mistral-7B-Instruct 0.1 and 0.2: no role for the system, whose message precedes the first turn's.
const MISTRAL: &str = "\
{{- bos_token -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- set ns.system = message.content + '\n\n' -%}
{%- elif message.role == 'user' -%}{{ ' [INST] ' + ns.system + message.content + ' [/INST]' }}{%- set ns.system = '' -%}
{%- elif message.role == 'assistant' -%}{{ ' ' + message.content + eos_token }}
{%- endif -%}
{%- endfor -%}";

/// Zephyr and TinyLlama-Chat.
const ZEPHYR: &str = "\
{%- for message in messages -%}
{{ '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}";

/// ChatML: Yi-Chat, Qwen 2 and 2.5, and many more.
const CHATML: &str = "\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}";

/// ChatML in which the thoughts of earlier replies are left out; without thinking, the reply begins after an empty thought.
const QWEN_3: &str = "\
{%- for message in messages -%}
{%- set content = message.content -%}
{%- if message.role == 'assistant' and '</think>' in content -%}
{%- set content = content.split('</think>')[-1].lstrip('\n') -%}
{%- endif -%}
{{ '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking -%}{{ '<think>\n\n</think>\n\n' }}{%- endif -%}
{%- endif -%}";

/// ChatGLM2 counts its rounds.
const CHATGLM_2: &str = "\
{{- '[gMASK]sop' -}}
{%- set ns = namespace(round=0) -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message.content + '\n\n' }}
{%- elif message.role == 'user' -%}{%- set ns.round = ns.round + 1 -%}
{{ '[Round ' ~ ns.round ~ ']\n\n问：' + message.content + '\n\n' }}
{%- elif message.role == 'assistant' -%}{{ '答：' + message.content + '\n\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '答：' }}{%- endif -%}";

const CHATGLM_3: &str = "\
{{- '[gMASK]sop' -}}
{%- for message in messages -%}{{ '<|' + message.role + '|>\n ' + message.content }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}";

const GLM_4: &str = "\
{{- '[gMASK]<sop>' -}}
{%- for message in messages -%}{{ '<|' + message.role + '|>\n' + message.content }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}";

const PHI_3: &str = "\
{%- for message in messages -%}
{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}";

/// For models that bring no template of their own, or a wrong one.
const NAMED: &[(&str, &str)] = &[
    ("rocit", ROCIT_TEMPLATE),
    ("alpaca", ALPACA),
    ("vicuna", VICUNA),
    ("llama2", LLAMA_2),
    ("llama3", LLAMA_3),
    ("mistral", MISTRAL),
    ("zephyr", ZEPHYR),
    ("tinyllama", ZEPHYR),
    ("chatml", CHATML),
    ("yi", CHATML),
    ("qwen2", CHATML),
    ("qwen3", QWEN_3),
    ("chatglm2", CHATGLM_2),
    ("chatglm3", CHATGLM_3),
    ("glm4", GLM_4),
    ("phi3", PHI_3),
];

impl ChatTemplate {
    /// The names that [`Self::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// The layout of a well-known family.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`] with the known names.
    pub fn named(name: &str, bos_token: &str, eos_token: &str) -> Result<Self, Error> {
        let Some((_, source)) = NAMED.iter().find(|(known, _)| *known == name) else {
            let known = Self::names().collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownTemplate { name: name.to_owned(), known });
        };
        Self::new(source, bos_token, eos_token)
    }
}
