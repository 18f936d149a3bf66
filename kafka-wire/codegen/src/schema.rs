//! The data of a schema.

/// One file: the messages of an API, or other messages that belong together.
#[derive(Debug)]
pub struct Schema {
    /// Stem of the file's name, and name of the module.
    pub module: String,
    /// The API, if the file describes one.
    pub api: Option<Api>,
    /// Description of the file.
    pub doc: String,
    /// Structs in the order of the text; a nested struct comes after the one that contains it.
    pub structs: Vec<Struct>,
}

/// An API of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Kafka's name.
    pub name: String,
    /// The number of the API in the header of requests.
    pub key: i16,
}

/// A message, or a part of messages.
#[derive(Debug)]
pub struct Struct {
    /// Kind of the struct.
    pub kind: Kind,
    /// Kafka's name.
    pub name: String,
    /// Description of the struct.
    pub doc: String,
    /// Versions that have it.
    pub versions: Versions,
    /// The first version with compact lengths and tagged fields.
    pub flexible: Option<i16>,
    /// The first version that may still change.
    pub unstable: Option<i16>,
    /// Whether there is also a view, which borrows the frame instead of copying.
    pub view: bool,
    /// Fields in the order of the wire.
    pub fields: Vec<Field>,
}

/// The kinds of structs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the others are what the schema calls them")]
pub enum Kind {
    Request,
    Response,
    /// A message that is neither a request nor a response.
    Message,
    /// A part of other messages.
    Struct,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// Kafka's name.
    pub kafka_name: String,
    /// The name in Rust.
    pub name: String,
    /// Description of the field.
    pub doc: String,
    /// Its type, without nullability.
    pub ty: Type,
    /// Versions that have it; each is also a version of the struct.
    pub versions: Versions,
    /// Versions in which it may be null.
    pub null: Option<Versions>,
    /// Its tag, if it is a tagged field.
    pub tag: Option<u32>,
    /// Its value in versions that lack it.
    pub default: Value,
    /// Whether a version that lacks it leaves it out even if it is set.
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

/// A default value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the others are what the schema calls them")]
pub enum Value {
    /// 0, false, empty, or a struct of defaults.
    Natural,
    Null,
    Number(i64),
    True,
}

/// A range of versions, both ends inclusive.
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

    /// The part of the range that lies in `within`; `None` if it is empty.
    pub(crate) fn cut(self, within: Self) -> Option<Self> {
        let (first, last) = (self.first.max(within.first), self.last.min(within.last));
        (first <= last).then_some(Self { first, last })
    }

    /// `v3+`, `v3-5` or `v3`, as a schema writes it; open if `within` has no later version.
    pub(crate) fn text(self, within: Self) -> String {
        match self {
            Self { first, last } if last == within.last => format!("v{first}+"),
            Self { first, last } if last == first => format!("v{first}"),
            Self { first, last } => format!("v{first}-{last}"),
        }
    }

    /// A Rust expression that is true for these among the versions `within`; `None` if it is always true.
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
    /// The types that are not made of others.
    pub(crate) const SCALARS: [Self; 11] = {
        use Type::{Bool, Bytes, F64, I8, I16, I32, I64, Records, String, U16, Uuid};
        [Bool, I8, I16, U16, I32, I64, F64, String, Uuid, Bytes, Records]
    };

    /// The name of the struct in the type, if it has one.
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
