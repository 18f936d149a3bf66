//! What a schema says.

/// One file: the messages of an API, or others that belong together.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Stem of the file, and name of the module.
    pub(crate) module: String,
    /// Kafka's name of the API, if the file describes one.
    pub(crate) api: Option<String>,
    pub(crate) doc: Vec<String>,
    /// In the order of the text; a nested struct comes behind the one that holds it.
    pub(crate) structs: Vec<Struct>,
}

#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) doc: Vec<String>,
    pub(crate) versions: Versions,
    pub(crate) flexible: Option<i16>,
    pub(crate) unstable: Option<i16>,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    /// A message outside of requests and responses.
    Message,
    /// Part of others.
    Struct,
}

#[derive(Debug)]
pub(crate) struct Field {
    /// Kafka's name.
    pub(crate) kafka_name: String,
    pub(crate) name: String,
    pub(crate) doc: Vec<String>,
    pub(crate) ty: Type,
    /// Versions that have it; all are versions of the struct.
    pub(crate) versions: Versions,
    /// Versions in which it may be null.
    pub(crate) null: Option<Versions>,
    pub(crate) tag: Option<u32>,
    pub(crate) default: Value,
    pub(crate) ignorable: bool,
    /// Whether its length stays classic in flexible versions.
    pub(crate) classic: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    I8,
    I16,
    I32,
    I64,
    String,
    Uuid,
    Bytes,
    Records,
    Array(Box<Self>),
    Struct(String),
}

/// The value of a field that is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// 0, false, empty, all default.
    Natural,
    Null,
    Number(i64),
    True,
}

/// A range of versions, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

impl Versions {
    pub(crate) fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The part of it that lies in `within`, or `None`.
    pub(crate) fn cut(self, within: Self) -> Option<Self> {
        let (first, last) = (self.first.max(within.first), self.last.min(within.last));
        (first <= last).then_some(Self { first, last })
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

    /// Rust that is true for the other versions of `within`.
    pub(crate) fn negation(self, within: Self) -> Option<String> {
        match (self.first > within.first, self.last < within.last) {
            (false, false) => None,
            (true, false) => Some(format!("version < {}", self.first)),
            (false, true) => Some(format!("version > {}", self.last)),
            (true, true) => self.condition(within).map(|condition| format!("!({condition})")),
        }
    }

    /// As a schema writes it, for versions `within`.
    pub(crate) fn show(self, within: Self) -> String {
        match (self.first == self.last, self.last < within.last) {
            (_, false) => format!("{}+", self.first),
            (true, true) => self.first.to_string(),
            (false, true) => format!("{}-{}", self.first, self.last),
        }
    }
}

impl Schema {
    pub(crate) fn find(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|candidate| candidate.name == name)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> Option<&Struct> {
        self.structs.iter().find(|candidate| candidate.kind == kind)
    }

    /// Whether the bytes of the struct differ between versions in more than the form of lengths.
    pub(crate) fn needs_version(&self, of: &Struct) -> bool {
        of.fields.iter().any(|field| {
            field.versions != of.versions
                || field.null.is_some_and(|null| null != field.versions)
                || self.inner(&field.ty).is_some_and(|inner| self.needs_version(inner))
        })
    }

    /// The struct that a type is made of.
    pub(crate) fn inner(&self, ty: &Type) -> Option<&Struct> {
        match ty {
            Type::Array(element) => self.inner(element),
            Type::Struct(name) => self.find(name),
            _ => None,
        }
    }

    /// Whether there is an array of these.
    pub(crate) fn is_element(&self, of: &Struct) -> bool {
        let element = |ty: &Type| matches!(ty, Type::Array(element) if **element == Type::Struct(of.name.clone()));
        self.structs.iter().flat_map(|of| &of.fields).any(|field| element(&field.ty))
    }

    /// The least size of a value in bytes, over all versions of `of`, the struct that holds it.
    pub(crate) fn size_min(&self, ty: &Type, of: &Struct) -> usize {
        let length = |classic| if of.flexible.is_some() { 1 } else { classic };
        match ty {
            Type::Bool | Type::I8 => 1,
            Type::I16 => 2,
            Type::I32 => 4,
            Type::I64 => 8,
            Type::Uuid => 16,
            Type::String => length(2),
            Type::Bytes | Type::Records | Type::Array(_) => length(4),
            Type::Struct(name) => self.find(name).map_or(0, |inner| self.struct_size_min(inner)),
        }
    }

    /// The least size of a struct in bytes, over all its versions.
    pub(crate) fn struct_size_min(&self, of: &Struct) -> usize {
        (of.versions.first..=of.versions.last)
            .map(|version| {
                let is_flexible = of.flexible.is_some_and(|since| version >= since);
                let this = Versions { first: version, last: version };
                let present = of.fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(this));
                present.map(|field| if field.null.is_some() { 1 } else { self.size_min(&field.ty, of) }).sum::<usize>()
                    + usize::from(is_flexible)
            })
            .min()
            .unwrap_or(0)
    }
}
