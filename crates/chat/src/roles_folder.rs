use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use roles::Role;

/// The roles of a folder that holds `<slug>/role.json` for each.
pub struct RolesFolder {
    folder: PathBuf,
    roles: Vec<Role>,
}

impl RolesFolder {
    /// Reads all roles, in the order of their slugs. A folder that does not exist has none.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut files: Vec<_> = match fs::read_dir(folder) {
            Ok(entries) => {
                entries.flatten().map(|entry| entry.path().join("role.json")).filter(|file| file.is_file()).collect()
            }
            Err(_) => Vec::new(),
        };
        files.sort();
        let roles = files.iter().map(|file| read_role(file)).collect::<Result<_>>()?;
        Ok(Self { folder: folder.to_owned(), roles })
    }

    pub fn all(&self) -> &[Role] {
        &self.roles
    }

    /// Finds a role by id or name, without regard to case.
    pub fn find(&self, wanted: &str) -> Result<&Role> {
        let wanted = wanted.trim();
        let same = |text: &str| text.to_lowercase() == wanted.to_lowercase();
        if let Some(role) = self.roles.iter().find(|role| same(&role.id) || same(&role.name)) {
            return Ok(role);
        }
        if self.roles.is_empty() {
            bail!(
                "unknown role {wanted:?}: there are no roles in {}; name their folder with --roles",
                self.folder.display()
            );
        }
        let known: Vec<_> = self.roles.iter().map(|role| role.name.as_str()).collect();
        bail!("unknown role {wanted:?}; known roles: {}", known.join(", "));
    }
}

fn read_role(file: &Path) -> Result<Role> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Role::from_json(&text).with_context(|| format!("cannot use {}", file.display()))
}
