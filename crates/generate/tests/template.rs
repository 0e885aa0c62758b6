//! Chat templates: the layouts of the paper and of its baselines, letter by letter.

use generate::{ChatTemplate, Message, ROCIT_TEMPLATE};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, "<s>", "</s>").expect("the template compiles")
}

fn conversation() -> Vec<Message> {
    vec![
        Message::system("You are Li Bai."),
        Message::user(" Hello "),
        Message::assistant("I am."),
        Message::user("Wine?"),
    ]
}

fn render(source: &str) -> String {
    template(source).render(&conversation(), true).expect("the conversation is rendered")
}

#[test]
fn rocit() {
    let first = [Message::system("You are Li Bai."), Message::user("Wine?")];
    assert_eq!(
        template(ROCIT_TEMPLATE).render(&first, true).expect("rendered"),
        "<s>### Instruction:\nYou are Li Bai.</s>\n\n### Input:\nWine?</s>\n\n### Response:\n"
    );
    assert_eq!(
        render(ROCIT_TEMPLATE),
        "<s>### Instruction:\nYou are Li Bai.</s>\n\n### Input:\n Hello </s>\n\n### Response:\nI am.</s>\n\n\
         ### Input:\nWine?</s>\n\n### Response:\n"
    );
}

#[test]
fn llama_2_chat() {
    let source = "\
{% if messages[0]['role'] == 'system' %}
    {% set turns = messages[1:] %}
    {% set system = messages[0]['content'] %}
{% else %}
    {% set turns = messages %}
    {% set system = false %}
{% endif %}
{% for message in turns %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate user/assistant') }}
    {% endif %}
    {% if loop.index0 == 0 and system is not false %}
        {% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' -}}
    {% elif message['role'] == 'assistant' %}
        {{- ' ' + content.strip() + ' ' + eos_token -}}
    {% endif %}
{% endfor %}";
    assert_eq!(
        render(source),
        "<s>[INST] <<SYS>>\nYou are Li Bai.\n<</SYS>>\n\n Hello [/INST] I am. </s><s>[INST] Wine? [/INST]"
    );
    let twice = [Message::user("a"), Message::user("b")];
    let error = template(source).render(&twice, true).expect_err("the template refuses").to_string();
    assert!(error.contains("roles must alternate user/assistant") && error.lines().count() == 1, "{error}");
}

#[test]
fn vicuna() {
    let source = "\
{%- for message in messages -%}
    {%- if message.role == 'system' -%}
        {{ message.content + ' ' }}
    {%- elif message.role == 'user' -%}
        {{ 'USER: ' + message.content.strip() + ' ' }}
    {%- else -%}
        {{ 'ASSISTANT: ' + message.content + eos_token }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}";
    assert_eq!(render(source), "You are Li Bai. USER: Hello ASSISTANT: I am.</s>USER: Wine? ASSISTANT:");
}

#[test]
fn chatml() {
    let source = "\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' }}
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}";
    assert_eq!(
        render(source),
        "<|im_start|>system\nYou are Li Bai.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n\
         <|im_start|>assistant\nI am.<|im_end|>\n<|im_start|>user\nWine?<|im_end|>\n<|im_start|>assistant\n"
    );
    let without = template(source).render(&conversation()[..1], false).expect("rendered");
    assert_eq!(without, "<|im_start|>system\nYou are Li Bai.<|im_end|>\n");
}

#[test]
fn json_is_written_as_python_writes_it() {
    assert_eq!(
        template("{{ messages | tojson }}").render(&[Message::user("<你好> & 'you'")], false).expect("rendered"),
        r#"[{"role": "user", "content": "<你好> & 'you'"}]"#
    );
    let indented = template("{{ messages[0] | tojson(indent=2) }}").render(&[Message::user("x")], false);
    assert_eq!(indented.expect("rendered"), "{\n  \"role\": \"user\",\n  \"content\": \"x\"\n}");
}

#[test]
fn dates_have_the_asked_form() {
    let date = template("{{ strftime_now('%d %b %Y|100%%') }}").render::<Message>(&[], false).expect("rendered");
    let (date, rest) = date.split_once('|').expect("the separator");
    let parts: Vec<_> = date.split(' ').collect();
    assert!(parts.len() == 3 && parts[0].len() == 2 && parts[1].len() == 3 && parts[2].len() == 4, "{date}");
    assert_eq!(rest, "100%");
}

#[test]
fn a_template_that_does_not_compile_is_refused_in_one_line() {
    let error = ChatTemplate::new("{% for x in %}", "", "").expect_err("refused").to_string();
    assert!(error.contains("(in chat_template:1)") && error.lines().count() == 1, "{error}");
}
