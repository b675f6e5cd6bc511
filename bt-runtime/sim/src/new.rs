//! A crate for a plug-in of one's own: `bt-lab new`.
//!
//! The files come from `new/templates`, whose placeholders are words of their own: `my-plugin`, `my_plugin` and `MyPlugin`
//! for the plug-in's name, `FRAMEWORK` for the folder of this framework.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bt_api::plugin::{self, Registry};

/// What kind of plug-in to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A choke policy.
    Choke,
    /// A piece policy.
    Piece,
    /// A storage backend.
    Storage,
    /// A tracker client, or a source of peers.
    Tracker,
}

/// Why a crate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name cannot be that of a crate and a plug-in.
    #[error("`{name}` cannot be the name of a plug-in: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is allowed.
        why: &'static str,
    },
    /// Something is there already.
    #[error("{} is there already: choose another name or folder", .0.display())]
    Exists(PathBuf),
    /// The folder of the framework is none.
    #[error("{} is not the folder of the framework: there is no bt-api/Cargo.toml in it", .0.display())]
    NoFramework(PathBuf),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

struct Template {
    title: &'static str,
    guide: &'static str,
    plugin: &'static str,
    profile: &'static str,
    scenario: &'static str,
    conformance: &'static str,
    experiment: &'static str,
    /// Further files.
    more: &'static [(&'static str, &'static str)],
}

macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("new/templates/", $path))
    };
}

impl Kind {
    fn template(self) -> Template {
        match self {
            Self::Choke => Template {
                title: "choke policy",
                guide: "choker",
                plugin: text!("choke/lib.rs.txt"),
                profile: text!("choke/profile.toml"),
                scenario: text!("scenario.toml"),
                conformance: text!("choke/conformance.rs.txt"),
                experiment: text!("experiment.md"),
                more: &[],
            },
            Self::Piece => Template {
                title: "piece policy",
                guide: "picker",
                plugin: text!("piece/lib.rs.txt"),
                profile: text!("piece/profile.toml"),
                scenario: text!("scenario.toml"),
                conformance: text!("piece/conformance.rs.txt"),
                experiment: text!("experiment.md"),
                more: &[],
            },
            Self::Storage => Template {
                title: "storage backend",
                guide: "storage",
                plugin: text!("storage/lib.rs.txt"),
                profile: text!("storage/profile.toml"),
                scenario: text!("storage/scenario.toml"),
                conformance: text!("storage/conformance.rs.txt"),
                experiment: text!("storage/experiment.md"),
                more: &[("profiles/slow.toml", text!("storage/slow.toml"))],
            },
            Self::Tracker => Template {
                title: "tracker client",
                guide: "tracker",
                plugin: text!("tracker/lib.rs.txt"),
                profile: text!("tracker/profile.toml"),
                scenario: text!("tracker/scenario.toml"),
                conformance: text!("tracker/conformance.rs.txt"),
                experiment: text!("tracker/experiment.md"),
                more: &[],
            },
        }
    }
}

/// Writes a complete crate for a plug-in of `kind` called `name` into `folder`, which is made; it depends on the
/// framework in the folder `framework`.
///
/// # Errors
/// A name that a crate or a plug-in cannot have, a folder that is there already or cannot be written, a `framework` that
/// is none. Nothing is left behind.
pub fn write_crate(kind: Kind, name: &str, folder: &Path, framework: &Path) -> Result<(), NewError> {
    let template = kind.template();
    check(kind, name, &template)?;
    let at = |path: PathBuf| move |source| NewError::Io { path, source };
    if !framework.join("bt-api/Cargo.toml").is_file() {
        return Err(NewError::NoFramework(framework.to_owned()));
    }
    let framework = fs::canonicalize(framework).map_err(at(framework.to_owned()))?;
    let type_name = camel(name);
    let fill = |text: &str, framework: &str| {
        text.replace("my-plugin", name)
            .replace("my_plugin", &name.replace('-', "_"))
            .replace("MyPlugin", &type_name)
            .replace("FRAMEWORK", framework)
    };
    let plain = framework.display().to_string();
    // As it must stand between quotes in TOML.
    let quoted = plain.replace('\\', "\\\\").replace('"', "\\\"");
    let readme = text!("README.md.txt")
        .replace("EXPERIMENT\n", template.experiment)
        .replace("KIND_NAME", template.title)
        .replace("KIND", template.title.split(' ').next().unwrap_or_default())
        .replace("GUIDE", template.guide);
    let own = |file: &str| format!("{file}/{name}.toml");
    let mut files = vec![
        ("Cargo.toml".to_owned(), fill(text!("Cargo.toml.txt"), &quoted)),
        ("README.md".to_owned(), fill(&readme, &plain)),
        (".gitignore".to_owned(), "/target\n".to_owned()),
        ("src/lib.rs".to_owned(), fill(template.plugin, &plain)),
        ("src/bin/run.rs".to_owned(), fill(text!("run.rs.txt"), &plain)),
        ("src/bin/lab.rs".to_owned(), fill(text!("lab.rs.txt"), &plain)),
        ("tests/conformance.rs".to_owned(), fill(template.conformance, &plain)),
        (own("profiles"), fill(template.profile, &plain)),
        (own("scenarios"), fill(template.scenario, &plain)),
    ];
    files.extend(template.more.iter().map(|(path, text)| ((*path).to_owned(), fill(text, &plain))));
    if let Ok(lock) = fs::read_to_string(framework.join("Cargo.lock")) {
        // The versions that the framework is tested with.
        files.push(("Cargo.lock".to_owned(), lock));
    }
    if folder.symlink_metadata().is_ok() {
        return Err(NewError::Exists(folder.to_owned()));
    }
    let written = files.iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, text)).map_err(at(path))
    });
    if written.is_err() {
        // It was not there before.
        let _ = fs::remove_dir_all(folder);
    }
    written
}

/// `my-plugin` as a type is called: `MyPlugin`.
fn camel(name: &str) -> String {
    let upper = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(upper).collect()
}

/// A name must do for a crate, its library, a type and a plug-in.
fn check(kind: Kind, name: &str, template: &Template) -> Result<(), NewError> {
    let refuse = |why| Err(NewError::Name { name: name.to_owned(), why });
    let words_are_fine = name.split('-').all(|word| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    });
    if !words_are_fine {
        return refuse(
            "it is words of small letters and digits with hyphens between, each begun by a letter",
        );
    }
    if RESERVED.contains(&name) || text!("Cargo.toml.txt").contains(&format!("\n{name} = ")) {
        return refuse("Rust or a crate that it depends on is called that; add a word");
    }
    let (type_name, is_letter) =
        (camel(name), |letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    if template.plugin.split(|letter| !is_letter(letter)).any(|word| word == type_name) {
        return refuse("its code has something else of that name; add a word");
    }
    if is_taken(kind, name) {
        return refuse("a plug-in, profile or scenario of this binary is called that; add a word");
    }
    Ok(())
}

fn is_taken(kind: Kind, name: &str) -> bool {
    fn has<K: plugin::Kind>(name: &str) -> bool {
        Registry::of::<K>().is_ok_and(|registry| registry.iter().any(|plugin| plugin.name == name))
    }
    let plugin = match kind {
        Kind::Choke => has::<plugin::Choke>(name),
        Kind::Piece => has::<plugin::Piece>(name),
        Kind::Storage => has::<plugin::Storage>(name),
        Kind::Tracker => has::<plugin::Tracker>(name),
    };
    let shipped = ["profile", "scenario"].into_iter().flat_map(plugin::shipped);
    plugin || shipped.into_iter().any(|shipped| shipped.name == name)
}

/// What Rust keeps for itself: words of the language, the crates that come with it, what Cargo calls a folder.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "lab",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "run",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];
