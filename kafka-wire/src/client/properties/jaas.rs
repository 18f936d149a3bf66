//! `sasl.jaas.config`: Java's format for a name and a password.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="secret";
//! ```

/// The entry of a login module.
#[derive(PartialEq, Eq)]
pub(super) struct Jaas {
    /// Class of the module, without its package.
    pub(super) module: String,
    options: Vec<(String, String)>,
}

impl Jaas {
    /// Reads one entry. The reason of a failure quotes nothing, since there may be a password in the text.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let mut words = words(text)?.into_iter();
        let module = words.next().ok_or("it is empty")?;
        let module = module.rsplit('.').next().unwrap_or_default().to_owned();
        let flag = words.next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(flag.as_str(), "required" | "requisite" | "sufficient" | "optional") {
            return Err("`required` has to follow the name of the module");
        }
        let mut options = Vec::new();
        while let Some(key) = words.next() {
            let (Some("="), Some(value)) = (words.next().as_deref(), words.next()) else {
                return Err("an option is not of the form key=\"value\"");
            };
            options.push((key, value));
        }
        Ok(Self { module, options })
    }

    pub(super) fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Splits a text into words and quoted texts up to the semicolon; `=` is a word of its own.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut found = Vec::new();
    let mut left = text.trim().chars().peekable();
    while let Some(first) = left.next() {
        match first {
            ';' => {
                let rest: String = left.collect();
                return if rest.trim().is_empty() { Ok(found) } else { Err("something follows the semicolon") };
            }
            '=' => found.push("=".to_owned()),
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                loop {
                    match left.next().ok_or("a quotation mark is not closed")? {
                        '\\' => word.push(left.next().ok_or("a quotation mark is not closed")?),
                        character if character == quote => break,
                        character => word.push(character),
                    }
                }
                found.push(word);
            }
            character if character.is_whitespace() => {}
            character => {
                let mut word = String::from(character);
                while let Some(next) = left.next_if(|next| !next.is_whitespace() && !matches!(next, '=' | ';' | '"')) {
                    word.push(next);
                }
                found.push(word);
            }
        }
    }
    Err("a semicolon has to end it")
}
