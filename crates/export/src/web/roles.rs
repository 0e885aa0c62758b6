//! Roles of a folder, and which adapter is for whom.

use super::{NamedAdapter, WebError};
use crate::ExportError;
use roles::{Card, Language, Role};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads ID/role.json of each folder in `folder`, and the character cards (.json, .png) in it; in the order of its
/// index.json, which lists ids, and else by id.
pub fn read(folder: &Path) -> Result<Vec<Role>, ExportError> {
    let mut roles: Vec<(Role, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).map_err(ExportError::io(folder))? {
        let path = entry.map_err(ExportError::io(folder))?.path();
        let role = match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => read_role(&path.join("role.json"))?,
            Some("json") if path.file_name().is_some_and(|name| name != "index.json") => Some(read_card(&path)?),
            Some("png") => Some(read_card(&path)?),
            _ => None,
        };
        roles.extend(role.map(|role| (role, path)));
    }
    if roles.is_empty() {
        return Err(WebError::NoRoles { path: folder.to_owned() }.into());
    }
    let index = folder.join("index.json");
    let order: Vec<String> = match fs::read(&index) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| WebError::Role { reason: format!("not a list of ids ({error})"), path: index })?,
        Err(_) => Vec::new(),
    };
    let place = |role: &Role| order.iter().position(|id| *id == role.id).unwrap_or(order.len());
    roles.sort_by(|(a, _), (b, _)| (place(a), &a.id).cmp(&(place(b), &b.id)));
    for (role, path) in &roles {
        let refuse = |reason: String| Err(WebError::Role { reason, path: path.clone() }.into());
        if role.id.contains('/') || manifest::check_name(&role.id).is_err() {
            return refuse(format!("the id {:?} makes no file name; use letters, digits and hyphens", role.id));
        }
        if roles.iter().filter(|(other, _)| other.id == role.id).count() > 1 {
            return refuse(format!("two roles have the id {:?}; give each its own", role.id));
        }
    }
    Ok(roles.into_iter().map(|(role, _)| role).collect())
}

fn read_role(path: &Path) -> Result<Option<Role>, ExportError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(ExportError::io(path))?;
    let refuse = |reason: roles::RoleError| WebError::Role { reason: reason.to_string(), path: path.to_owned() };
    Ok(Some(Role::from_json(&text).map_err(refuse)?))
}

fn read_card(path: &Path) -> Result<Role, ExportError> {
    let bytes = fs::read(path).map_err(ExportError::io(path))?;
    let refuse = |reason: roles::CardError| WebError::Role { reason: reason.to_string(), path: path.to_owned() };
    let card = Card::read(&bytes).map_err(refuse)?;
    // Whoever will talk to it has no name yet.
    let role = card.role("friend");
    Ok(if role.language == Language::Zh { card.role("朋友") } else { role })
}

/// For each adapter, the ids of its roles.
pub fn bind(adapters: &[NamedAdapter], roles: &[Role]) -> Result<Vec<Vec<String>>, WebError> {
    let find = |name: &str| roles.iter().find(|role| role.id == name || role.name == name).map(|role| role.id.clone());
    let known = || roles.iter().map(|role| role.id.as_str()).collect::<Vec<_>>().join(", ");
    let of = |adapter: &NamedAdapter| match adapter.roles.is_empty() {
        true => Ok(find(&adapter.name).into_iter().collect()),
        false => {
            let refuse = |role: &String| WebError::AdapterRole {
                adapter: adapter.name.clone(),
                role: role.clone(),
                known: known(),
            };
            adapter.roles.iter().map(|role| find(role).ok_or_else(|| refuse(role))).collect()
        }
    };
    adapters.iter().map(of).collect()
}

/// The text of a role's file, as `Role::from_json` reads it.
pub fn to_json(role: &Role) -> Result<String, WebError> {
    let refuse = |error: serde_json::Error| WebError::Role { reason: error.to_string(), path: role.id.clone().into() };
    Ok(serde_json::to_string_pretty(role).map_err(refuse)? + "\n")
}

/// The code of the language that a role speaks.
pub fn language_code(role: &Role) -> &'static str {
    match role.language {
        Language::En => "en",
        Language::Zh => "zh",
    }
}
