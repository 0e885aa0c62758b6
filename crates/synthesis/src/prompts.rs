//! What teachers are asked, in both languages. The texts are ours; what they ask for is the paper's (sections 1 to 3).

use roles::{Language, Role};

/// Notes on a piece of a script.
pub fn notes(name: &str, language: Language, segment: &str) -> String {
    match language {
        Language::En => format!(
            "Below is a piece of a script or a book. Write down what it shows about {name}: character, way of speaking, \
             past, changes, relations to others, and the events that matter. Use short sentences in English and only what \
             the text says. If {name} does not appear, write NOTHING.\n\nText:\n{segment}"
        ),
        Language::Zh => format!(
            "下面是一段剧本或小说。请记下其中与{name}有关的内容：性格、说话方式、经历、变化、与他人的关系，以及重要事件。\
             用简短的中文句子，只写原文中有的。如果{name}没有出现，只写“无”。\n\n原文：\n{segment}"
        ),
    }
}

/// The description in the third person.
pub fn description(name: &str, language: Language, material: &str) -> String {
    match language {
        Language::En => format!(
            "Describe the character from this material about {name}. One paragraph in the third person, at most 150 words: \
             personality, life, how the character changes, the main story and its key events, and the manner of speech. \
             Do not use the name; begin with \"The character\".\n\nMaterial:\n{material}"
        ),
        Language::Zh => format!(
            "请根据下面关于{name}的材料描写这个人物。用第三人称写一段话，不超过二百字：性格、生平、性格的变化、主要故事与关键事件，\
             以及说话的方式。不要写出名字，以“该人物”开头。\n\n材料：\n{material}"
        ),
    }
}

/// The same in the second person.
pub fn second_person(language: Language, description: &str) -> String {
    match language {
        Language::En => format!(
            "Rewrite this description in the second person, as if you told the character who they are. Keep every fact, add \
             none, and write nothing but the description. Begin with \"You are\".\n\nDescription:\n{description}"
        ),
        Language::Zh => format!(
            "请把下面的描写改写成第二人称，像是在告诉这个人物他是谁。保留所有事实，不要添加，只写描写本身，以“你是”开头。\n\n\
             描写：\n{description}"
        ),
    }
}

/// Catchphrases.
pub fn catchphrases(name: &str, language: Language, description: &str, lines: &str) -> String {
    match language {
        Language::En => format!(
            "Name up to five catchphrases of {name}. Take those that the character is known for or repeats; if there are \
             none, write some that fit the style. One on each line, at most ten words, nothing else.\n\nDescription:\n\
             {description}\n\nSome of the character's lines:\n{lines}"
        ),
        Language::Zh => format!(
            "请写出{name}的口头禅，最多五句。优先选人物常说的或广为人知的；如果没有，就按他的风格写。每行一句，每句不超过二十字，\
             不要写别的。\n\n人物描写：\n{description}\n\n人物的部分台词：\n{lines}"
        ),
    }
}

/// Triplets from a piece of the script.
pub fn script_based(role: &Role, source: &str, segment: &str, count: usize) -> String {
    let (name, profile) = (&role.name, profile(role));
    match role.language {
        Language::En => format!(
            "You prepare an interview with {name} about what happens in \"{source}\".\n\nThe character:\n{profile}\n\nAn \
             excerpt (lines that do not follow each other may have gaps between them; invent no links):\n{segment}\n\n\
             Write {count} different questions to {name} about the main events of the excerpt, speaking to {name}. For each \
             rate the completeness: High if the question names the person, place or event, so that one understands it \
             without the excerpt, else Low; and say why. Then answer as {name}, in the character's own voice, from what the \
             excerpt says, in one to four sentences.\n\n{}",
            shape_en("completeness", count)
        ),
        Language::Zh => format!(
            "你要就《{source}》中的事采访{name}。\n\n人物：\n{profile}\n\n节选（不相连的句子之间可能有省略，不要编造联系）：\n\
             {segment}\n\n请围绕节选中的主要情节，对{name}提出{count}个不同的问题。为每个问题评价完整性：如果问题写明了人物、地点或\
             事件，不看节选也能懂，就是“高”，否则是“低”，并说明理由。然后以{name}的口吻，根据节选用一到四句话回答。\n\n{}",
            shape_zh("完整性", count)
        ),
    }
}

/// Triplets from no script.
pub fn script_agnostic(role: &Role, count: usize) -> String {
    let (name, profile) = (&role.name, profile(role));
    match role.language {
        Language::En => format!(
            "You prepare an interview with {name}.\n\nThe character:\n{profile}\n\nWrite {count} different questions about \
             what such a person knows, thinks and can do: craft, world, opinions, habits. Do not ask what the description \
             already says word for word, and repeat no question in other words. For each rate the factualness: High if the \
             answer fits the character's world and is not made up, else Low; and say why. Then answer as {name}, in the \
             character's own voice, in one to four sentences. Aim for High.\n\n{}",
            shape_en("factualness", count)
        ),
        Language::Zh => format!(
            "你要采访{name}。\n\n人物：\n{profile}\n\n请提出{count}个不同的问题，问这样的人所知、所想、所能：本领、世界、看法、习惯。\
             不要照抄描写中已有的内容，也不要换个说法重复提问。为每个问题评价真实性：如果回答符合人物的世界、不是编造的，就是“高”，\
             否则是“低”，并说明理由。然后以{name}的口吻用一到四句话回答。尽量做到“高”。\n\n{}",
            shape_zh("真实性", count)
        ),
    }
}

fn profile(role: &Role) -> String {
    let mut text = role.description.trim().to_string();
    if !role.catchphrases.is_empty() {
        text.push('\n');
        text.push_str(&role.catchphrases.join(" / "));
    }
    text
}

fn shape_en(rating: &str, count: usize) -> String {
    format!(
        "Reply with one JSON object and nothing else, of {count} items:\n{{\"items\": [{{\"question\": \"…\", \
         \"{rating}\": \"High\", \"reason\": \"…\", \"answer\": \"…\"}}]}}"
    )
}

fn shape_zh(rating: &str, count: usize) -> String {
    format!(
        "只回复一个JSON对象，共{count}项，不要写别的：\n{{\"items\": [{{\"question\": \"……\", \"{rating}\": \"高\", \"reason\": \
         \"……\", \"answer\": \"……\"}}]}}"
    )
}

/// The system instruction of RoleGPT: who, what, and how to answer.
pub fn role_play(role: &Role) -> String {
    let (name, about) = (&role.name, role.system_instruction());
    match role.language {
        Language::En => format!(
            "You play {name}.\n{about}\n\nWhatever you are asked, answer as {name}: let the character show, speak exactly in \
             the character's manner, never say that you are a program or a model, and do not be wordy, formal or polite \
             where the character is not."
        ),
        Language::Zh => format!(
            "你来演{name}。\n{about}\n\n无论别人问什么，都以{name}的身份回答：显出人物的性格，说话方式与人物完全一致，绝不提自己是程序或\
             模型；人物不啰嗦、不正式、不客气的地方，你也不要。"
        ),
    }
}

/// Examples inside the system instruction (few-shot prompt engineering).
pub fn examples(language: Language) -> (&'static str, &'static str, &'static str) {
    match language {
        Language::En => ("\n\nSo the character speaks:", "Question: ", "Answer: "),
        Language::Zh => ("\n\n人物是这样说话的：", "问：", "答："),
    }
}
