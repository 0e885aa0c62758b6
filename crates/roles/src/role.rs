use serde::{Deserialize, Serialize};

/// The language that a role speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// A character: what the page shows of it and what its system instruction is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Short name for files and addresses: lower-case letters, digits and hyphens.
    pub id: String,
    /// The name, as RoleBench writes it.
    pub name: String,
    /// The language that the role speaks.
    pub language: Language,
    /// One line for the gallery.
    #[serde(default)]
    pub tagline: String,
    /// Second person: personality, life, main events, manner of speech.
    pub description: String,
    /// Short sayings of the role.
    #[serde(default)]
    pub catchphrases: Vec<String>,
    /// What the role says first.
    #[serde(default)]
    pub greeting: String,
    /// Questions worth asking.
    #[serde(default)]
    pub suggested_questions: Vec<String>,
    /// Where the character comes from, and under which terms.
    #[serde(default)]
    pub source: String,
    /// A CSS colour that goes with the role and carries white text.
    #[serde(default)]
    pub accent: String,
}

/// Why a role file is refused.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The text is not the JSON of a role.
    #[error("not a role: {0}")]
    Json(#[from] serde_json::Error),
    /// A field that a role cannot do without is empty.
    #[error("the role's field \"{field}\" is empty; give it a value")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
}

impl Role {
    /// Reads `role.json`.
    pub fn from_json(text: &str) -> Result<Role, RoleError> {
        let role: Role = serde_json::from_str(text)?;
        for (field, value) in [("id", &role.id), ("name", &role.name), ("description", &role.description)] {
            if value.trim().is_empty() {
                return Err(RoleError::Empty { field });
            }
        }
        Ok(role)
    }

    /// RoCIT's system instruction: the role's name, description and catchphrases (paper, section 4).
    ///
    /// The name is added only where the description does not say it already.
    pub fn system_instruction(&self) -> String {
        let mut text = String::new();
        let named = self.description.contains(&self.name);
        match self.language {
            _ if named => {}
            Language::En => text.push_str(&format!("You are {}. ", self.name)),
            Language::Zh => text.push_str(&format!("你是{}。", self.name)),
        }
        text.push_str(self.description.trim());
        if !self.catchphrases.is_empty() {
            text.push_str(match self.language {
                Language::En => "\nYour catchphrases: ",
                Language::Zh => "\n你的口头禅：",
            });
            text.push_str(&self.catchphrases.join(" / "));
        }
        text
    }
}
