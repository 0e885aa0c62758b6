//! What a judge is asked (the GPT evaluator, paper, section 4.1 and its appendix); the words are our own.

use rolebench::Sample;
use roles::{Language, Message, Role};

/// The messages that ask which of two answers is better.
pub fn pair(role: &Role, sample: &Sample, answers: [&str; 2]) -> Vec<Message> {
    let order = match role.language {
        Language::En => {
            "Which answer is better? Reply with one JSON object and nothing else: \
             {\"reason\": \"one sentence\", \"better\": 1}, with 1 or 2 for the better answer, or 0 if neither is."
        }
        Language::Zh => {
            "哪个回答更好？只回复一个 JSON 对象，不要其他内容：\
             {\"reason\": \"一句话\", \"better\": 1}，better 填较好的回答的编号 1 或 2，不分上下则填 0。"
        }
    };
    vec![Message::system(duty(role.language)), Message::user(case(role, sample, &answers, order))]
}

/// The messages that ask for a ranking of answers.
pub fn ranking(role: &Role, sample: &Sample, answers: &[&str]) -> Vec<Message> {
    let order = match role.language {
        Language::En => {
            "Rank all the answers, the best first. Reply with one JSON list and nothing else, one entry for each answer: \
             [{\"answer\": 1, \"reason\": \"one sentence\", \"rank\": 1}, …]. Equally good answers share a rank."
        }
        Language::Zh => {
            "请给所有回答排名，最好的为第一。只回复一个 JSON 列表，不要其他内容，每个回答一项：\
             [{\"answer\": 1, \"reason\": \"一句话\", \"rank\": 1}, …]。不分上下的回答名次相同。"
        }
    };
    vec![Message::system(duty(role.language)), Message::user(case(role, sample, answers, order))]
}

fn duty(language: Language) -> &'static str {
    match language {
        Language::En => {
            "You judge actors. Several have answered the same question in the same role. Judge by two things: how much an \
             answer sounds like the role and fits its description, and how much it shows of what the role knows and has lived \
             through. Neither the order of the answers nor their length counts. Judge as most people would."
        }
        Language::Zh => {
            "你是表演的评委。几位演员以同一个角色回答了同一个问题。请从两方面评判：一是语气像不像这个角色、合不合角色的描述；\
             二是有没有体现角色的知识和经历。回答的先后和长短都不算数。请按多数人的看法评判。"
        }
    }
}

fn case(role: &Role, sample: &Sample, answers: &[&str], order: &str) -> String {
    let [role_is, question_is, model_is, answer_is] = match role.language {
        Language::En => ["Role", "Question", "An answer that is known to be good", "Answer"],
        Language::Zh => ["角色", "问题", "已知的好回答", "回答"],
    };
    let mut text = format!("# {role_is}: {}\n{}\n\n", role.name, role.system_instruction());
    text.push_str(&format!("# {question_is}\n{}\n\n", sample.question.trim()));
    if let Some(reference) = sample.generated.first() {
        text.push_str(&format!("# {model_is}\n{}\n\n", reference.trim()));
    }
    for (at, answer) in answers.iter().enumerate() {
        text.push_str(&format!("# {answer_is} {}\n{}\n\n", at + 1, answer.trim()));
    }
    text + order
}
