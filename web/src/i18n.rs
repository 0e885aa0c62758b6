//! Every text of the page, in both languages: one that is missing does not compile.

use leptos::prelude::*;
use protocol::{ErrorKind, Failure};
use roles::Language;

use crate::store;

/// Declares each text once, English and Chinese side by side.
macro_rules! texts {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// A text without numbers or names in it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Text { $(#[doc = $en] $name,)* }

        impl Text {
            /// The text in `language`.
            pub fn in_language(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Text::$name, Language::En) => $en, (Text::$name, Language::Zh) => $zh,)*
                }
            }
        }
    };
}

texts! {
    // The frame.
    NavChat: "Chat", "聊天";
    NavEvaluate: "Evaluate", "评测";
    NavModels: "Models", "模型";
    NavAbout: "About", "关于";
    SkipToContent: "Skip to content", "跳到正文";
    OtherLanguage: "中文", "English";
    SwitchTheme: "Switch between light and dark", "切换浅色与深色";
    // The gallery.
    GalleryTitle: "Who would you like to talk to?", "今天想和谁聊聊？";
    GalleryLead: "Characters from books and history, played by a small language model inside this page. Nothing you write leaves your computer.", "书里的人，历史上的人，由一个小小的语言模型在这个网页里扮演。你写的每一个字都不会离开你的电脑。";
    SpeakEnglish: "They speak English", "说英语的人物";
    SpeakChinese: "They speak Chinese", "说中文的人物";
    ImportCard: "Bring your own character", "带来你自己的人物";
    ImportHint: "A character card: a JSON or PNG file", "人物卡：JSON 或 PNG 文件";
    RemoveRole: "Remove this character and its conversations", "移除这个人物和全部对话";
    RolesFailed: "The characters could not be loaded.", "人物没能加载出来。";
    UnknownRole: "There is no such character here.", "这里没有这个人物。";
    BackToGallery: "All characters", "全部人物";
    // The conversation.
    InputHint: "Write a message …", "写点什么……";
    InputWaiting: "The model is on its way; you can already write …", "模型还在路上，你可以先写……";
    InputLabel: "Your message", "你的消息";
    Send: "Send", "发送";
    Stop: "Stop", "停止";
    NewChat: "New chat", "新对话";
    EarlierChats: "Earlier chats", "以前的对话";
    DeleteChat: "Delete this chat", "删除这段对话";
    Undo: "Undo", "撤销";
    ChatDeleted: "The chat is deleted.", "对话已删除。";
    Settings: "Settings", "设置";
    Temperature: "Temperature", "温度";
    TemperatureHint: "Low: predictable. High: adventurous.", "低：稳重；高：奔放。";
    MaxTokens: "Longest answer, in tokens", "回答最多多少个词元";
    Suggestions: "Ask for example", "不妨问问";
    Thinking: "is thinking …", "正在想……";
    Regenerate: "Another answer", "换个回答";
    Edit: "Edit", "修改";
    Save: "Send again", "重新发送";
    Cancel: "Cancel", "取消";
    Copy: "Copy", "复制";
    Copied: "Copied", "已复制";
    Stopped: "stopped", "已停止";
    CutOff: "longest answer reached", "已到长度上限";
    PreviousVariant: "Previous version", "上一个版本";
    NextVariant: "Next version", "下一个版本";
    ToTheEnd: "To the latest message", "到最新一条";
    NoAnswer: "The model gave no answer this time. Ask again, or ask differently.", "模型这次没有回答。再问一次，或换个问法吧。";
    Friend: "friend", "朋友";
    // The model.
    NoModel: "No model", "没有模型";
    ModelStarting: "Starting …", "正在启动……";
    ModelFailed: "Model failed", "模型出错";
    ModelsTitle: "Models", "模型";
    ModelsLead: "A model is a GGUF file of the LLaMA, Qwen or GLM family, whole or split into parts. It is read on your computer and runs in this page.", "模型是 LLaMA、Qwen 或 GLM 系列的 GGUF 文件，可以是整个文件，也可以分成几部分。它在你的电脑上读取，在这个网页里运行。";
    LoadedModel: "In use", "正在使用";
    ShippedModels: "Made by this project", "本项目制作的模型";
    OwnModel: "Your own model", "你自己的模型";
    Load: "Load", "加载";
    Unload: "Unload", "卸载";
    Retry: "Try again", "再试一次";
    CancelLoading: "Cancel", "取消";
    OpenFile: "Choose a GGUF file", "选择 GGUF 文件";
    DropHint: "or drop it here; of a split model, all parts at once", "或拖到这里；分成几部分的模型请一次选全";
    OpenUrl: "Open", "打开";
    UrlLabel: "Address of a GGUF file", "GGUF 文件的网址";
    Downloading: "Downloading", "下载中";
    Reading: "Reading", "读取中";
    Architecture: "Architecture", "结构";
    Parameters: "Parameters", "参数";
    Quantization: "Quantization", "量化";
    Context: "Context", "上下文";
    FileSize: "File", "文件";
    Memory: "Memory", "内存";
    Backend: "Runs on", "运行于";
    Workers: "Workers", "并行线程";
    OneWorker: "One worker only: this page was served without the headers that let workers share memory (COOP and COEP).", "只用了一个线程：提供网页的服务器没有发送共享内存所需的响应头（COOP 和 COEP）。";
    LoadTime: "Loaded in", "加载用时";
    ModelCard: "Model card", "模型说明";
    English: "English", "英语";
    Chinese: "Chinese", "中文";
    CatalogFailed: "The list of models could not be loaded.", "模型列表没能加载出来。";
    EngineRestarted: "The engine broke down and was started anew. Load the model again.", "引擎出了故障，已重新启动。请再加载一次模型。";
    // The evaluation.
    EvaluateTitle: "Evaluate", "评测";
    EvaluateLead: "The loaded model answers questions of this project's test set, in the shape of RoleBench. Each answer is compared with the references by ROUGE-L.", "已加载的模型回答本项目测试集里的问题（格式同 RoleBench），每个回答都用 ROUGE-L 与参考答案比较。";
    TestLanguage: "Language", "语言";
    TestPart: "Part", "部分";
    General: "General questions", "通用问题";
    RoleSpecific: "Role-specific questions", "角色专属问题";
    SampleCount: "Samples", "样本数";
    SampleHint: "Spread evenly over the test set, the same every time; temperature 0.", "在测试集中均匀抽取，每次相同；温度为 0。";
    Run: "Run", "开始";
    ExportJson: "Export JSON", "导出 JSON";
    Mean: "Mean", "平均";
    Rule: "Rule", "规则";
    Prediction: "Answer", "回答";
    Reference: "Reference", "参考";
    NothingYet: "No samples yet. Choose and run.", "还没有样本。选好后点“开始”。";
    NeedsModel: "Load a model first.", "请先加载模型。";
    NoInstruction: "no such character here; asked without one", "这里没有这个人物，未加角色设定";
    // About.
    AboutTitle: "About", "关于";
    AboutWhat: "RoleLLM for the web lets you talk to a character whose words come from a small language model. The model was trained, exported and shipped by this very project, and it runs wholly in your browser: no server, no account, no network once the page is loaded.", "网页版 RoleLLM 让你与人物交谈，他们的话出自一个小型语言模型。这个模型由本项目自己训练、导出并随项目发布，完全在你的浏览器里运行：没有服务器，不用注册，页面加载之后也不再需要网络。";
    AboutPaper: "It follows the paper “RoleLLM: Benchmarking, Eliciting, and Enhancing Role-Playing Abilities of Large Language Models” (arXiv 2310.00746): role instructions, training on a role's own dialogue, and RoleBench with ROUGE-L.", "它依照论文《RoleLLM：大语言模型角色扮演能力的评测、激发与增强》（arXiv 2310.00746）：角色指令、以角色自己的对话训练，以及用 ROUGE-L 评分的 RoleBench。";
    PaperLink: "Read the paper", "阅读论文";
    AboutLimits: "The model is tiny. It knows its characters and little else, makes things up, and is no source of facts or advice.", "这个模型很小。它只熟悉自己的人物，别的懂得很少，会编造，不能当作事实或建议的来源。";
    AboutPrivacy: "Conversations are kept in this browser's local storage and nowhere else.", "对话只保存在这个浏览器的本地存储里，别处没有。";
    AboutLicence: "Program, texts, portraits and sample data: MIT or Apache-2.0, at your choice. Each model's licence stands on its card.", "程序、文字、头像和样例数据：MIT 或 Apache-2.0，任选其一。各模型的许可见其说明。";
    AboutProgram: "For programs and tests, this page offers window.rolellm: ready, loadModel, generate, stop and scoreRougeL.", "供程序和测试使用：本页提供 window.rolellm，含 ready、loadModel、generate、stop 和 scoreRougeL。";
}

/// The reader's language; all copies mean the same one.
#[derive(Clone, Copy)]
pub struct I18n {
    /// The language, to read and to change.
    pub language: RwSignal<Language>,
}

impl I18n {
    /// The language chosen last time, else the browser's.
    pub fn start() -> I18n {
        let language = RwSignal::new(store::get("language").unwrap_or_else(browser_language));
        Effect::new(move || {
            let language = language.get();
            store::set("language", &language);
            if let Some(root) = document().document_element() {
                let _ = root.set_attribute("lang", html_lang(language));
            }
        });
        I18n { language }
    }

    /// A text that follows the language.
    pub fn t(self, text: Text) -> impl Fn() -> &'static str + Copy + Send + Sync + 'static {
        move || text.in_language(self.language.get())
    }

    /// A text with numbers or names that follows the language.
    pub fn format<F>(self, format: F) -> impl Fn() -> String + Clone + Send + Sync + 'static
    where
        F: Fn(Language) -> String + Clone + Send + Sync + 'static,
    {
        move || format(self.language.get())
    }

    /// Takes the other language.
    pub fn switch(self) {
        self.language.update(|language| {
            *language = match language {
                Language::En => Language::Zh,
                Language::Zh => Language::En,
            }
        });
    }
}

/// The value of HTML's `lang`.
pub fn html_lang(language: Language) -> &'static str {
    match language {
        Language::En => "en",
        Language::Zh => "zh-Hans",
    }
}

fn browser_language() -> Language {
    let preferred = window().navigator().language().unwrap_or_default();
    if preferred.to_ascii_lowercase().starts_with("zh") { Language::Zh } else { Language::En }
}

/// A failure in words: what is wrong and what helps.
pub fn failure(language: Language, failure: &Failure) -> String {
    let details = &failure.message;
    if let Some(tokens) = failure.tokens {
        let (needed, context) = (tokens.needed, tokens.context);
        return match language {
            Language::En => {
                format!(
                    "This is too long: it needs {needed} tokens, and the model's context holds {context}. Shorten it."
                )
            }
            Language::Zh => format!("太长了：需要 {needed} 个词元，而模型的上下文只容得下 {context} 个。请写短一些。"),
        };
    }
    let (en, zh) = match failure.kind {
        ErrorKind::NotGguf => ("This is no model.", "这不是模型文件，请选择 GGUF 文件。"),
        ErrorKind::Truncated => ("The file is incomplete.", "文件不完整，请重新下载。"),
        ErrorKind::UnsupportedArchitecture => ("This kind of model is not known here.", "这里还不支持这种结构的模型。"),
        ErrorKind::UnusableModel => ("This model cannot be used.", "这个模型无法使用。"),
        ErrorKind::Download => ("The download failed.", "下载失败。"),
        ErrorKind::NoRoom => ("There is no room for this model.", "放不下这个模型。"),
        ErrorKind::OutOfMemory => ("There is not enough memory.", "内存不够，请换一个小一些的模型。"),
        ErrorKind::PromptTooLong => ("This is too long.", "太长了，请写短一些。"),
        ErrorKind::InvalidRequest => ("That cannot be done.", "这个请求无效。"),
        ErrorKind::Busy => ("The model is busy.", "模型正忙，请先停止正在进行的工作。"),
        ErrorKind::NoModel => ("No model is loaded; load one under Models.", "还没有加载模型，请到“模型”页加载。"),
        ErrorKind::Cancelled => ("Cancelled.", "已取消。"),
        ErrorKind::Crashed => {
            (Text::EngineRestarted.in_language(Language::En), Text::EngineRestarted.in_language(Language::Zh))
        }
        ErrorKind::Other => ("Something went wrong.", "出错了。"),
    };
    match (failure.kind, language) {
        (ErrorKind::NoModel | ErrorKind::Cancelled, Language::En) => en.to_string(),
        (ErrorKind::NoModel | ErrorKind::Cancelled | ErrorKind::Busy, Language::Zh) => zh.to_string(),
        (_, Language::En) => format!("{en} ({details})"),
        (_, Language::Zh) => format!("{zh}（{details}）"),
    }
}

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
