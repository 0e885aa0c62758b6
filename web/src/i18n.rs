//! Every text of the page, in both languages: one that is missing does not compile.

mod words;

pub use words::*;

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
    NavArena: "Arena", "擂台";
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
    OpenFile: "Choose GGUF files", "选择 GGUF 文件";
    DropHint: "or drop them anywhere on the page: a folder made by “export web”, a GGUF file, or all parts of a split one at once", "或拖到页面任何地方：“export web”生成的文件夹、一个 GGUF 文件，或分卷模型的全部分卷";
    OpenUrl: "Open", "打开";
    UrlLabel: "Address of a GGUF file or of a folder with a manifest", "GGUF 文件的网址，或带清单的文件夹的网址";
    Downloading: "Downloading", "下载中";
    Reading: "Reading", "读取中";
    Checking: "Verifying", "校验中";
    OpenFolder: "Choose a folder", "选择文件夹";
    Licence: "Licence", "许可";
    Adapters: "Adapters", "适配器";
    Adapter: "Adapter", "适配器";
    NoAdapter: "None", "不使用";
    AdapterHint: "An adapter is a small addition (LoRA) that changes how the model writes. Drop its GGUF file on the page; choose it beside a character. It takes effect from the next message on.", "适配器是改变模型文风的小附件（LoRA）。把它的 GGUF 文件拖到页面上，再在人物旁边选用，从下一条消息起生效。";
    FromTheModel: "Its own characters", "自带的人物";
    Architecture: "Architecture", "结构";
    Parameters: "Parameters", "参数";
    Quantization: "Quantization", "量化";
    Context: "Context", "上下文";
    FileSize: "File", "文件";
    Memory: "Memory", "内存";
    Backend: "Runs on", "运行于";
    Workers: "Workers", "并行线程";
    OneWorker: "One worker only: this page was served without the headers that let workers share memory (COOP and COEP).", "只用了一个线程：提供网页的服务器没有发送共享内存所需的响应头（COOP 和 COEP）。";
    RunOn: "Run models on", "模型运行于";
    OnCpu: "CPU", "CPU";
    OnGpu: "GPU (WebGPU)", "GPU（WebGPU）";
    GpuHint: "A graphics card is faster where there is a good one; without one, the CPU is. Try both.", "有好的显卡时 GPU 更快，没有时 CPU 更快，可以都试一试。";
    GpuRefused: "The CPU does the work.", "已改用 CPU 运行。";
    LoadTime: "Loaded in", "加载用时";
    ModelCard: "Model card", "模型说明";
    English: "English", "英语";
    Chinese: "Chinese", "中文";
    CatalogFailed: "The list of models could not be loaded.", "模型列表没能加载出来。";
    EngineRestarted: "The engine broke down and was started anew. Load the model again.", "引擎出了故障，已重新启动。请再加载一次模型。";
    // The evaluation.
    EvaluateTitle: "Evaluate", "评测";
    EvaluateLead: "Let a model answer test questions in the shape of RoleBench, or bring answers from elsewhere. Each answer is compared with the references by ROUGE-L, as on the command line.", "让模型回答 RoleBench 格式的测试题，或者带来别处的回答。每个回答都用 ROUGE-L 与参考答案比较，算法与命令行相同。";
    TestData: "Test questions and rule", "测试题与评分规则";
    TestLanguage: "Language of the answers", "回答的语言";
    TestPart: "Questions", "题目";
    General: "General questions (CUS)", "通用问题（CUS）";
    PlainAnswers: "General questions, plain answers (RAW)", "通用问题，普通回答（RAW）";
    RoleSpecific: "Role-specific questions (SPE)", "角色专属问题（SPE）";
    OwnFile: "A file of mine", "我的文件";
    AnAddress: "A file at an address", "网址上的文件";
    ChooseTest: "Choose test questions", "选择测试题文件";
    RowsHint: "or drop them here: JSON Lines, each line with role, question and generated", "或拖到这里：JSON Lines，每行含 role、question 和 generated";
    TestUrl: "Address of the file; its server must allow other pages to read it (CORS)", "文件网址；对方服务器须允许跨站读取（CORS）";
    Rule: "Rule", "规则";
    SeveralReferences: "Of several references", "多个参考答案时";
    BestReference: "the best F counts", "取 F 最高的";
    MaxReference: "the highest score counts", "取得分最高的";
    MeanReference: "the mean counts", "取平均";
    FirstReference: "the first counts", "只看第一个";
    FetchingDictionary: "Fetching the dictionary of Chinese words, 5 MB …", "正在获取中文词典（5 MB）……";
    BlindToChinese: "This rule sees only a-z and digits: Chinese scores 0.", "这条规则只认英文字母和数字，中文会得 0 分。";
    AskModel: "Let a model answer", "让模型回答";
    Model: "Model", "模型";
    Strategy: "Strategy", "提示方式";
    StrategySystem: "Instruction only", "只给角色设定";
    StrategyZeroShot: "Instruction and order (zero-shot)", "设定加要求（零样本）";
    StrategyFewShot: "Examples in the instruction (few-shot)", "设定里附示例（少样本）";
    StrategyDialogue: "Examples as a conversation", "示例作为对话";
    StrategyRetrieval: "Name and examples only (retrieval)", "只给名字和示例（检索）";
    SampleCount: "Samples", "样本数";
    Seed: "Seed", "随机种子";
    SampleHint: "Drawn at random; the same seed draws the same questions. Temperature 0, at most 200 tokens an answer.", "随机抽取，种子相同则题目相同。温度为 0，每个回答最多 200 词元。";
    Run: "Run", "开始";
    Pause: "Pause", "暂停";
    Continue: "Continue", "继续";
    ScoreFile: "Or score answers from elsewhere", "或者给别处的回答打分";
    ChoosePredictions: "Choose answers", "选择回答文件";
    PredictionsHint: "or drop them here: JSON Lines in RoleBench's shape. They are scored against the questions above; no model is needed.", "或拖到这里：RoleBench 格式的 JSON Lines。按上面选的题目打分，不需要模型。";
    Result: "Result", "结果";
    Progress: "Progress", "进度";
    Paused: "Paused.", "已暂停。";
    ReadingRows: "Reading …", "正在读取……";
    LoadingModel: "The model is being loaded …", "正在加载模型……";
    Asking: "The model is answering:", "模型正在回答：";
    Scoring: "Scoring:", "正在打分：";
    Comparing: "Comparing …", "正在比较……";
    ExportJson: "Report (JSON)", "报告（JSON）";
    ExportCsv: "Rows (CSV)", "逐条结果（CSV）";
    ExportPredictions: "Answers (JSONL)", "回答（JSONL）";
    ExportRun: "Run with settings (JSON)", "整次评测及设置（JSON）";
    Mean: "Mean", "平均";
    Precision: "Precision", "精确率";
    Recall: "Recall", "召回率";
    FMeasure: "F", "F 值";
    Missing: "Test rows without an answer", "没有回答的题目";
    Repeated: "Answers replaced by a later one", "被后来的回答取代";
    TooLong: "Prompts too long for the context", "提示超出上下文";
    DroppedExamples: "Example messages left out for room", "因放不下而略去的示例消息";
    PromptTokens: "Prompt tokens", "提示词元";
    ByRole: "By role", "按角色";
    ByType: "By source of knowledge", "按知识来源";
    Rows: "Rows", "逐条结果";
    Order: "Order", "顺序";
    LatestFirst: "Last question first", "后面的题在前";
    LowestFirst: "Lowest score first", "低分在前";
    HighestFirst: "Highest score first", "高分在前";
    CommonHint: "Marked: the longest common subsequence of the answer and its nearest reference.", "标出的是回答与最接近的参考答案的最长公共子序列。";
    ShowMore: "Show more", "显示更多";
    Prediction: "Answer", "回答";
    Reference: "Reference", "参考";
    NothingYet: "Nothing has been scored yet.", "还没有打过分。";
    NeedsModel: "Load a model first.", "请先加载模型。";
    NoInstruction: "no such character here; asked without one", "这里没有这个人物，未加角色设定";
    EarlierRuns: "Earlier runs and scored files", "以前的评测和打过分的文件";
    CompareHint: "Runs stay in this browser. Tick two to compare them under the rule above.", "评测结果保存在这个浏览器里。勾选两项，可按上面的规则比较。";
    Compare: "Compare", "比较";
    Show: "Show", "查看";
    Delete: "Delete", "删除";
    CommonRows: "Rows that both answered", "双方都答了的题";
    Difference: "Difference, A less B", "差值（A 减 B）";
    PValue: "p (paired permutation test)", "p 值（配对置换检验）";
    WinsTiesLosses: "A better / same / B better", "A 更好 / 相同 / B 更好";
    FirstBetter: "A scores higher, and the interval of the difference lies above 0.", "A 得分更高，差值的区间全在 0 以上。";
    SecondBetter: "B scores higher, and the interval of the difference lies below 0.", "B 得分更高，差值的区间全在 0 以下。";
    NoDifference: "The interval of the difference contains 0: this many rows do not tell the two apart.", "差值的区间包含 0：这些题还分不出高下。";
    // The arena.
    ArenaTitle: "Arena", "擂台";
    ArenaLead: "Two models, or two ways of prompting one, answer the same questions. You judge without knowing whose answer is whose; that is told at the end.", "两个模型，或同一模型的两种提示方式，回答同样的问题。你在不知道谁是谁的情况下评判，最后才揭晓。";
    ArenaQuestions: "Questions", "题目";
    FirstContestant: "A", "甲方";
    SecondContestant: "B", "乙方";
    ArenaBegin: "Begin", "开始";
    ArenaHint: "First all answers are written, A's and then B's; then you judge. The seed also shuffles the sides.", "先写完全部回答（先甲后乙），再由你评判。随机种子也决定左右顺序。";
    ArenaAnswering: "Answers are being written:", "正在写回答：";
    ArenaDiscard: "Discard", "放弃";
    ArenaEnd: "End here and reveal", "到此为止，揭晓结果";
    ArenaVerdict: "Verdict", "结果";
    ArenaAgain: "Another round", "再来一轮";
    Left: "Left", "左边";
    Right: "Right", "右边";
    LeftBetter: "Left is better", "左边好";
    RightBetter: "Right is better", "右边好";
    Tie: "Equally good", "一样好";
    BothBad: "Both bad", "都不好";
    YourVote: "Your judgement", "你的评判";
    UndoVote: "Take back", "撤回上一票";
    NoAnswerHere: "(no answer)", "（没有回答）";
    WinRate: "Win rate of A", "甲方胜率";
    WinRateHint: "Ties and “both bad” count half. The interval: 1,000 bootstrap resamples of your votes.", "“一样好”和“都不好”各算半胜。区间由对投票自助重抽样 1,000 次得出。";
    WinsOfA: "A better", "甲方更好";
    WinsOfB: "B better", "乙方更好";
    Ties: "Equally good", "一样好";
    ExportVotes: "Votes (JSON)", "投票（JSON）";
    // About.
    AboutTitle: "About", "关于";
    AboutWhat: "RoleLLM for the web lets you talk to a character whose words come from a small language model. The model was trained, exported and shipped by this very project, and it runs wholly in your browser: no server, no account, no network once the page is loaded.", "网页版 RoleLLM 让你与人物交谈，他们的话出自一个小型语言模型。这个模型由本项目自己训练、导出并随项目发布，完全在你的浏览器里运行：没有服务器，不用注册，页面加载之后也不再需要网络。";
    AboutPaper: "It follows the paper “RoleLLM: Benchmarking, Eliciting, and Enhancing Role-Playing Abilities of Large Language Models” (arXiv 2310.00746): role instructions, training on a role's own dialogue, and RoleBench with ROUGE-L.", "它依照论文《RoleLLM：大语言模型角色扮演能力的评测、激发与增强》（arXiv 2310.00746）：角色指令、以角色自己的对话训练，以及用 ROUGE-L 评分的 RoleBench。";
    PaperLink: "Read the paper", "阅读论文";
    AboutLimits: "The model is tiny. It knows its characters and little else, makes things up, and is no source of facts or advice.", "这个模型很小。它只熟悉自己的人物，别的懂得很少，会编造，不能当作事实或建议的来源。";
    AboutPrivacy: "Conversations, evaluation runs and votes are kept in this browser's storage and nowhere else.", "对话、评测结果和投票只保存在这个浏览器里，别处没有。";
    AboutLicence: "Program, texts, portraits and sample data: MIT or Apache-2.0, at your choice. Each model's licence stands on its card.", "程序、文字、头像和样例数据：MIT 或 Apache-2.0，任选其一。各模型的许可见其说明。";
    AboutProgram: "For programs and tests, this page offers window.rolellm: ready, loadModel, addAdapter, generate, stop, scoreRougeL and scorePredictions.", "供程序和测试使用：本页提供 window.rolellm，含 ready、loadModel、addAdapter、generate、stop、scoreRougeL 和 scorePredictions。";
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
        ErrorKind::BadFolder => ("This folder cannot be opened.", "这个文件夹打不开。"),
        ErrorKind::Damaged => ("A file is damaged; the model was not loaded.", "有文件损坏，模型没有加载。"),
        ErrorKind::AdapterAlone => (
            "This is an adapter. Load the model that it was made for first.",
            "这是一个适配器，请先加载它所适配的模型。",
        ),
        ErrorKind::WrongAdapter => {
            ("This adapter was made for another model.", "这个适配器是为另一个模型制作的，不能用在当前模型上。")
        }
        ErrorKind::NoRoom => ("There is no room for this model.", "放不下这个模型。"),
        ErrorKind::OutOfMemory => ("There is not enough memory.", "内存不够，请换一个小一些的模型。"),
        ErrorKind::Gpu => ("The GPU cannot be used.", "GPU 无法使用。"),
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
