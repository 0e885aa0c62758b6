//! Words with numbers or names in them.

use roles::Language;

use super::Text;

/// "84.2 tokens/s".
pub fn speed(language: Language, per_second: f64) -> String {
    match language {
        Language::En => format!("{per_second:.1} tokens/s"),
        Language::Zh => format!("{per_second:.1} 词元/秒"),
    }
}

/// How long an answer and its prompt are.
pub fn counts(language: Language, answer: usize, prompt: usize) -> String {
    match language {
        Language::En => format!("{answer} tokens · prompt {prompt}"),
        Language::Zh => format!("回答 {answer} 词元 · 提示 {prompt}"),
    }
}

/// What no longer fits the context.
pub fn dropped(language: Language, messages: usize) -> String {
    match language {
        Language::En => format!("{messages} older messages no longer fit the context"),
        Language::Zh => format!("较早的 {messages} 条消息已超出上下文"),
    }
}

/// Above the conversation, for those who do not see it.
pub fn chat_with(language: Language, name: &str) -> String {
    match language {
        Language::En => format!("Conversation with {name}"),
        Language::Zh => format!("与{name}的对话"),
    }
}

/// The role speaks another language than the loaded model.
pub fn wrong_language(language: Language, role: Language) -> String {
    let spoken = match role {
        Language::En => Text::English,
        Language::Zh => Text::Chinese,
    };
    let spoken = spoken.in_language(language);
    match language {
        Language::En => format!("This character speaks {spoken}; the loaded model was not made for it."),
        Language::Zh => format!("这个人物说{spoken}，而当前模型不是为{spoken}制作的。"),
    }
}

/// Loads a model, by its name.
pub fn load_named(language: Language, name: &str) -> String {
    match language {
        Language::En => format!("Load {name}"),
        Language::Zh => format!("加载 {name}"),
    }
}

/// How far an evaluation has come.
pub fn progress(language: Language, done: usize, total: usize) -> String {
    match language {
        Language::En => format!("{done} of {total}"),
        Language::Zh => format!("{done} / {total}"),
    }
}

/// Over how many rows a mean is.
pub fn rows(language: Language, count: usize) -> String {
    match (language, count) {
        (Language::En, 1) => "1 row".to_string(),
        (Language::En, _) => format!("{count} rows"),
        (Language::Zh, _) => format!("共 {count} 条"),
    }
}

/// A run that was left.
pub fn unfinished(language: Language, model: &str, asked: usize, total: usize) -> String {
    match language {
        Language::En => format!("A run of {model} is unfinished: {asked} of {total} questions were asked."),
        Language::Zh => format!("{model} 有一次评测没有做完：共 {total} 题，已问 {asked} 题。"),
    }
}

/// The browser's storage is closed.
pub fn not_kept(language: Language, reason: &str) -> String {
    match language {
        Language::En => format!("This browser keeps nothing here ({reason}): what you do is lost when you leave."),
        Language::Zh => format!("浏览器没有为本页保存数据（{reason}）：离开后结果就没有了。"),
    }
}

/// Lines that were left out.
pub fn bad_lines(language: Language, file: &str, count: usize) -> String {
    match (language, count) {
        (Language::En, 1) => format!("{file}: 1 line is no row and was left out"),
        (Language::En, _) => format!("{file}: {count} lines are no rows and were left out"),
        (Language::Zh, _) => format!("{file}：有 {count} 行读不了，已略过"),
    }
}

/// A mean's interval.
pub fn interval(language: Language, low: f64, high: f64) -> String {
    match language {
        Language::En => format!("95 % interval {low:.3} to {high:.3}"),
        Language::Zh => format!("95% 区间 {low:.3} 至 {high:.3}"),
    }
}

/// A difference's interval.
pub fn difference_interval(language: Language, low: f64, high: f64) -> String {
    match language {
        Language::En => format!("95 % interval {low:+.4} to {high:+.4}"),
        Language::Zh => format!("95% 区间 {low:+.4} 至 {high:+.4}"),
    }
}

/// What prompts cost of the context.
pub fn prompt_tokens(language: Language, mean: f64, range: (usize, usize), context: usize) -> String {
    let (least, most) = range;
    match language {
        Language::En => format!("{mean:.0} on average ({least} to {most}) of {context}"),
        Language::Zh => format!("平均 {mean:.0}（{least} 至 {most}），上下文 {context}"),
    }
}

/// The same in short.
pub fn prompt_mean(language: Language, mean: f64) -> String {
    match language {
        Language::En => format!("{mean:.0} prompt tokens"),
        Language::Zh => format!("提示 {mean:.0} 词元"),
    }
}

/// A part of the test by its name in the file; roles keep theirs.
pub fn part(language: Language, name: &str) -> String {
    match (name, language) {
        ("script_based", Language::En) => "From the script".to_string(),
        ("script_based", Language::Zh) => "依据剧本".to_string(),
        ("script_agnostic", Language::En) => "Beyond the script".to_string(),
        ("script_agnostic", Language::Zh) => "剧本之外".to_string(),
        _ => name.to_string(),
    }
}

/// The model that answers if nothing else is chosen.
pub fn loaded_model(language: Language, name: &str) -> String {
    match language {
        Language::En => format!("{name} (loaded)"),
        Language::Zh => format!("{name}（已加载）"),
    }
}

/// Which question is judged.
pub fn question_of(language: Language, number: usize, total: usize) -> String {
    match language {
        Language::En => format!("Question {number} of {total}"),
        Language::Zh => format!("第 {number} 题，共 {total} 题"),
    }
}

/// A card that was refused.
pub fn card_refused(language: Language, file: &str, details: &str) -> String {
    match language {
        Language::En => format!("{file} cannot be used: {details}."),
        Language::Zh => format!("{file} 无法使用：{details}。"),
    }
}

/// Tokens of a context.
pub fn tokens(language: Language, count: usize) -> String {
    match language {
        Language::En => format!("{count} tokens"),
        Language::Zh => format!("{count} 词元"),
    }
}

/// Weights, and the cache on top of them.
pub fn memory(language: Language, weights: u64, cache: u64) -> String {
    let (weights, cache) = (bytes(weights), bytes(cache));
    match language {
        Language::En => format!("{weights} weights, up to {cache} for the context"),
        Language::Zh => format!("权重 {weights}，上下文最多 {cache}"),
    }
}

/// Bytes with a decimal unit, as in "4.6 MB".
pub fn bytes(count: u64) -> String {
    with_unit(count, &["B", "kB", "MB", "GB"])
}

/// Weights with a unit, as in "8.1 M".
pub fn parameters(count: u64) -> String {
    with_unit(count, &["", "K", "M", "B"])
}

fn with_unit(count: u64, units: &[&str]) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", units[unit]).trim_end().to_string()
}
