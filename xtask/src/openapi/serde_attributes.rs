//! What a declaration tells serde, as far as it changes what is written, and its comment.

use syn::Attribute;

/// What stands over a struct or an enum.
#[derive(Default)]
pub struct Container {
    /// No other members are taken.
    pub closed: bool,
    /// The member that tells variants apart, where it stands among theirs.
    pub tag: Option<String>,
    /// The type that is written in its place.
    pub written_as: Option<String>,
    /// How the names of variants are written.
    pub style: Style,
}

/// How a name is written.
#[derive(Default, Clone, Copy)]
pub enum Style {
    /// As declared.
    #[default]
    Declared,
    /// In lower case.
    Lower,
    /// In lower case, words apart by this.
    Apart(char),
}

/// What stands over a field or a variant.
#[derive(Default)]
pub struct Field {
    /// Its name, where it is another.
    pub rename: Option<String>,
    /// It need not be there.
    pub may_be_absent: bool,
}

impl Style {
    /// `name`, an identifier in camel case, written so.
    pub fn apply(self, name: &str) -> String {
        match self {
            Style::Declared => name.to_owned(),
            Style::Lower => name.to_lowercase(),
            Style::Apart(between) => {
                let mut written = String::new();
                for (at, letter) in name.char_indices() {
                    if letter.is_uppercase() && at > 0 {
                        written.push(between);
                    }
                    written.extend(letter.to_lowercase());
                }
                written
            }
        }
    }
}

impl Container {
    /// Reads what is said; what is not known here is an error.
    pub fn read(attributes: &[Attribute]) -> Result<Container, String> {
        let mut read = Container::default();
        each(attributes, |name, value| {
            match (name, value) {
                ("deny_unknown_fields", _) => read.closed = true,
                ("transparent", _) => {}
                ("try_from", Some(_)) => {}
                ("into", Some(name)) => read.written_as = Some(name),
                ("tag", Some(tag)) => read.tag = Some(tag),
                ("rename_all", Some(style)) => {
                    read.style = match style.as_str() {
                        "lowercase" => Style::Lower,
                        "kebab-case" => Style::Apart('-'),
                        "snake_case" => Style::Apart('_'),
                        _ => return false,
                    }
                }
                _ => return false,
            }
            true
        })?;
        Ok(read)
    }
}

impl Field {
    /// Reads what is said; what is not known here is an error.
    pub fn read(attributes: &[Attribute]) -> Result<Field, String> {
        let mut read = Field::default();
        each(attributes, |name, value| {
            match (name, value) {
                ("default" | "skip_serializing_if", _) => read.may_be_absent = true,
                ("rename", Some(name)) => read.rename = Some(name),
                _ => return false,
            }
            true
        })?;
        Ok(read)
    }
}

/// Hands every word of the `serde` attributes to `take`, which says whether it knows it.
fn each(
    attributes: &[Attribute],
    mut take: impl FnMut(&str, Option<String>) -> bool,
) -> Result<(), String> {
    for attribute in attributes.iter().filter(|it| it.path().is_ident("serde")) {
        let read = attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string);
            let value = match meta.value() {
                Ok(value) => Some(value.parse::<syn::LitStr>()?.value()),
                Err(_) => None,
            };
            let name = name.unwrap_or_default();
            if take(&name, value) {
                Ok(())
            } else {
                Err(meta.error(format!("serde's {name} is not known here")))
            }
        });
        read.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The text of a comment, on one line.
pub fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let meta = attribute.meta.require_name_value().ok()?;
        let syn::Expr::Lit(text) = &meta.value else {
            return None;
        };
        match &text.lit {
            syn::Lit::Str(text) if meta.path.is_ident("doc") => {
                Some(text.value().trim().to_owned())
            }
            _ => None,
        }
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}
