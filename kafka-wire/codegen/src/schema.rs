//! What a schema says.

/// One file: the messages of an API, or others that belong together.
#[derive(Debug)]
pub struct Schema {
    /// Stem of the file, and name of the module.
    pub module: String,
    /// The API, if the file describes one.
    pub api: Option<Api>,
    /// What the file is about.
    pub doc: String,
    /// In the order of the text; a nested struct comes behind the one that holds it.
    pub structs: Vec<Struct>,
}

/// An API of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Kafka's name.
    pub name: String,
    /// The number that stands for it in the header of requests.
    pub key: i16,
}

/// A message, or a part of messages.
#[derive(Debug)]
pub struct Struct {
    /// What it is.
    pub kind: Kind,
    /// Kafka's name.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// Versions that have it.
    pub versions: Versions,
    /// The first version with compact lengths and tagged fields.
    pub flexible: Option<i16>,
    /// The first version that may still change.
    pub unstable: Option<i16>,
    /// Whether it can also be read without being copied.
    pub view: bool,
    /// In the order of the wire.
    pub fields: Vec<Field>,
}

/// What a struct is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the others are what the schema calls them")]
pub enum Kind {
    Request,
    Response,
    /// A message outside of requests and responses.
    Message,
    /// Part of others.
    Struct,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// Kafka's name.
    pub kafka_name: String,
    /// The name in Rust.
    pub name: String,
    /// What it means.
    pub doc: String,
    /// Its type, null aside.
    pub ty: Type,
    /// Versions that have it; all are versions of the struct.
    pub versions: Versions,
    /// Versions in which it may be null.
    pub null: Option<Versions>,
    /// Its number, if it is a tagged field.
    pub tag: Option<u32>,
    /// Its value where it is absent.
    pub default: Value,
    /// Whether a version that lacks it leaves it out although it is set.
    pub ignorable: bool,
    /// Whether its length stays classic in flexible versions.
    pub classic: bool,
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    Bool,
    I8,
    I16,
    U16,
    I32,
    I64,
    F64,
    String,
    Uuid,
    Bytes,
    Records,
    Array(Box<Self>),
    Struct(String),
}

/// The value of a field that is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the others are what the schema calls them")]
pub enum Value {
    /// 0, false, empty, all default.
    Natural,
    Null,
    Number(i64),
    True,
}

/// A range of versions, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub(crate) const ALL: Self = Self { first: 0, last: i16::MAX };

    /// Whether `version` is one of them.
    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// The part of it that lies in `within`, or `None`.
    pub(crate) fn cut(self, within: Self) -> Option<Self> {
        let (first, last) = (self.first.max(within.first), self.last.min(within.last));
        (first <= last).then_some(Self { first, last })
    }

    /// `v3+`, `v3-5` or `v3`, as a schema has it; open when no later one is `within`.
    pub(crate) fn text(self, within: Self) -> String {
        match self {
            Self { first, last } if last == within.last => format!("v{first}+"),
            Self { first, last } if last == first => format!("v{first}"),
            Self { first, last } => format!("v{first}-{last}"),
        }
    }

    /// Rust that is true for these among the versions `within`; `None` when it is always true.
    pub(crate) fn condition(self, within: Self) -> Option<String> {
        match (self.first > within.first, self.last < within.last) {
            (false, false) => None,
            (true, false) => Some(format!("version >= {}", self.first)),
            (false, true) => Some(format!("version <= {}", self.last)),
            (true, true) if self.first == self.last => Some(format!("version == {}", self.first)),
            (true, true) => Some(format!("({}..={}).contains(&version)", self.first, self.last)),
        }
    }
}

impl Type {
    /// Those that are made of no others.
    pub(crate) const SCALARS: [Self; 11] = {
        use Type::{Bool, Bytes, F64, I8, I16, I32, I64, Records, String, U16, Uuid};
        [Bool, I8, I16, U16, I32, I64, F64, String, Uuid, Bytes, Records]
    };

    /// The name of the struct that it is made of, if it is.
    pub fn inner(&self) -> Option<&str> {
        match self {
            Self::Array(element) => element.inner(),
            Self::Struct(name) => Some(name),
            _ => None,
        }
    }

    /// Its name in the schema and in the methods of a reader and a writer.
    pub(crate) fn method(&self) -> String {
        match self {
            Self::Array(_) => "array".to_owned(),
            Self::Struct(_) => "struct".to_owned(),
            scalar => format!("{scalar:?}").to_lowercase(),
        }
    }

    /// Whether it is a number, which is copied and never null.
    pub(crate) const fn is_number(&self) -> bool {
        !matches!(self, Self::String | Self::Bytes | Self::Records | Self::Array(_) | Self::Struct(_))
    }
}

impl Schema {
    /// The struct of this name.
    pub fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|candidate| candidate.name == name)
    }

    /// The first struct of this kind.
    pub fn of_kind(&self, kind: Kind) -> Option<&Struct> {
        self.structs.iter().find(|candidate| candidate.kind == kind)
    }
}

impl Struct {
    /// Its tagged fields, ascending.
    pub(crate) fn tagged(&self) -> Vec<(u32, &Field)> {
        let mut tagged = self.fields.iter().filter_map(|field| field.tag.map(|tag| (tag, field))).collect::<Vec<_>>();
        tagged.sort_by_key(|(tag, _)| *tag);
        tagged
    }
}
