use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
};

use anyhow::{Result, bail};
use generate::{Generator, Message, Options, Prompt};
use roles::Role;

use crate::{roles_folder::RolesFolder, stream};

/// A conversation on the terminal: replies on stdout, everything else on stderr.
pub struct Conversation<'a> {
    generator: Generator,
    options: Options,
    roles: Option<&'a RolesFolder>,
    name: String,
    system: Option<String>,
    turns: Vec<Message>,
    /// Names of the adapters, in the order in which they were loaded.
    adapters: Vec<String>,
}

/// What a line typed by the user asks for.
enum Command<'a> {
    Say(&'a str),
    Reset,
    Role(&'a str),
    Adapter(&'a str),
    Help,
    Quit,
}

const HELP: &str = "/reset begins anew, /role NAME changes the role, /adapter NAME the adapter, /quit leaves";

impl<'a> Conversation<'a> {
    /// Each line is continued as it is.
    pub fn raw(generator: Generator, options: Options) -> Self {
        Self {
            generator,
            options,
            roles: None,
            name: "text".to_owned(),
            system: None,
            turns: Vec::new(),
            adapters: Vec::new(),
        }
    }

    /// Lines are messages; without a role or an instruction, the roles are offered first.
    pub fn new(
        generator: Generator,
        options: Options,
        roles: &'a RolesFolder,
        role: Option<&Role>,
        system: Option<String>,
    ) -> Result<Self> {
        let mut conversation =
            Self { system, roles: Some(roles), name: "model".to_owned(), ..Self::raw(generator, options) };
        match role {
            Some(role) => conversation.begin(role),
            None if conversation.system.is_none() => conversation.offer_roles()?,
            None => {}
        }
        Ok(conversation)
    }

    /// Names the adapters that were loaded after their files.
    pub fn with_adapters(mut self, files: &[PathBuf]) -> Self {
        let name = |file: &PathBuf| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.adapters = files.iter().map(name).collect();
        self
    }

    /// Reads lines until /quit or the end of the input. What goes wrong in one line is reported, and the next is read.
    pub fn run(&mut self) -> Result<()> {
        eprintln!("{HELP}");
        while let Some(line) = read_line("> ")? {
            let result = match Command::parse(&line) {
                Some(Command::Quit) => return Ok(()),
                Some(Command::Say(text)) => self.say(text),
                Some(Command::Role(name)) => self.change_role(name),
                Some(Command::Adapter(name)) => self.change_adapter(name),
                Some(Command::Reset) => {
                    self.turns.clear();
                    Ok(())
                }
                Some(Command::Help) => {
                    eprintln!("{HELP}");
                    Ok(())
                }
                None => Ok(()),
            };
            match result {
                Err(error) if crate::is_closed_pipe(&error) => return Err(error),
                Err(error) => eprintln!("error: {error:#}"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let prompt = match self.roles {
            None => Prompt::Text(text.to_owned()),
            Some(_) => Prompt::Messages(self.messages(text)?),
        };
        self.generator.start(&prompt, self.options.clone())?;
        let outcome = stream(&mut self.generator, &mut io::stdout().lock())?;
        let per_second = outcome.tokens as f64 / (outcome.prefill_ms + outcome.decode_ms).max(1e-3) * 1e3;
        eprintln!("[{}: {} tokens, {per_second:.0} per second]", self.name, outcome.tokens);
        self.turns.extend([Message::user(text), Message::assistant(outcome.text)]);
        Ok(())
    }

    /// The instruction, as many of the last turns as fit, and the new message.
    fn messages(&self, text: &str) -> Result<Vec<Message>> {
        let system = self.system.clone().map(Message::system);
        let messages: Vec<_> =
            system.into_iter().chain(self.turns.iter().cloned()).chain([Message::user(text)]).collect();
        let context = self.generator.context();
        // A long reply may be cut, but not to less than half of the context.
        let reply = self.options.max_tokens.min(context / 2);
        let fit = self.generator.model().fit(&messages, context, reply)?;
        if !fit.dropped.is_empty() {
            eprintln!("[the context is full: the oldest {} messages are left out]", fit.dropped.len());
        }
        Ok(fit.messages)
    }

    fn change_role(&mut self, name: &str) -> Result<()> {
        match self.roles {
            Some(roles) => self.begin(roles.find(name)?),
            None => eprintln!("there are no roles with --raw"),
        }
        Ok(())
    }

    /// Another adapter from the next message on; the conversation goes on.
    fn change_adapter(&mut self, name: &str) -> Result<()> {
        let number = self.adapters.iter().position(|adapter| adapter == name);
        if number.is_none() && name != "none" {
            bail!("no adapter is called {name:?}; there are none (the bare model), {}", self.adapters.join(", "));
        }
        Ok(self.generator.use_adapter(number)?)
    }

    fn begin(&mut self, role: &Role) {
        self.name = role.name.clone();
        self.system = Some(role.system_instruction());
        self.turns.clear();
        eprintln!("{}: {}", role.name, if role.greeting.is_empty() { &role.tagline } else { &role.greeting });
    }

    fn offer_roles(&mut self) -> Result<()> {
        let Some(roles) = self.roles.filter(|roles| !roles.all().is_empty()) else { return Ok(()) };
        for (number, role) in (1..).zip(roles.all()) {
            eprintln!("{number:3}  {}: {}", role.name, role.tagline);
        }
        while let Some(line) = read_line("role (number or name, nothing for none): ")? {
            let line = line.trim();
            let numbered = line.parse::<usize>().ok().and_then(|number| roles.all().get(number.checked_sub(1)?));
            match numbered.map_or_else(|| roles.find(line), Ok) {
                _ if line.is_empty() => return Ok(()),
                Ok(role) => {
                    self.begin(role);
                    return Ok(());
                }
                Err(error) => eprintln!("error: {error:#}"),
            }
        }
        Ok(())
    }
}

impl<'a> Command<'a> {
    /// `None` for an empty line.
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        Some(match word {
            "" => return None,
            "/quit" | "/exit" => Self::Quit,
            "/reset" => Self::Reset,
            "/role" => Self::Role(rest.trim()),
            "/adapter" => Self::Adapter(rest.trim()),
            _ if word.starts_with('/') => Self::Help,
            _ => Self::Say(line),
        })
    }
}

/// The next line, `None` at the end of the input.
fn read_line(question: &str) -> io::Result<Option<String>> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}
