//! The formats whose schemas are in a registry.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use processor::serde::short_type_name;
use processor::{Json, Owned, Serde, SerdeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "avro")]
use super::client::{GONE, RegistryError, SCHEMA_NOT_FOUND};
use super::client::{SchemaRegistry, SchemaType};
use super::wire;

/// The schema with which a format writes: its number is asked for before the first record.
#[derive(Debug)]
struct Written {
    registry: SchemaRegistry,
    subject: String,
    schema_type: SchemaType,
    schema: String,
    id: OnceLock<i32>,
}

impl Written {
    fn new(registry: &SchemaRegistry, subject: &str, schema_type: SchemaType, schema: &str) -> Arc<Self> {
        let (registry, subject, schema) = (registry.clone(), subject.to_owned(), schema.to_owned());
        Arc::new(Self { registry, subject, schema_type, schema, id: OnceLock::new() })
    }

    fn id(&self) -> Result<i32, SerdeError> {
        if let Some(id) = self.id.get() {
            return Ok(*id);
        }
        let id = self.registry.id(&self.subject, &self.schema_type, &self.schema)?;
        Ok(*self.id.get_or_init(|| id))
    }

    /// The name of a format: the subject, because a changelog with another one has other schemas.
    fn name<F: ?Sized>(&self) -> String {
        format!("{}({})", short_type_name::<F>(), self.subject)
    }
}

impl SchemaRegistry {
    /// JSON with a schema. Values are not checked against the schema: `T` says what they are.
    #[must_use]
    pub fn json<T>(&self, subject: &str, schema: &str) -> RegisteredJson<T> {
        RegisteredJson { written: Written::new(self, subject, SchemaType::Json, schema), of: PhantomData }
    }

    /// Avro. Records are read with the schema that they were written with, and become values of `schema` by Avro's
    /// schema resolution: fields that were added need a default, those that were taken away are passed over, and those
    /// that were renamed need their old name as an alias. What was written as one of several types of a union is read
    /// as the type of the same name, or cannot be decoded. `T` is as for [`Avro`](crate::Avro).
    ///
    /// # Errors
    /// As for [`Avro::new`](crate::Avro::new).
    #[cfg(feature = "avro")]
    pub fn avro<T>(&self, subject: &str, schema: &str) -> Result<RegisteredAvro<T>, SerdeError> {
        let parsed = apache_avro::Schema::parse_str(schema).map_err(crate::avro::custom)?;
        let codec = crate::avro::Codec::new(parsed, Vec::new())?;
        Ok(RegisteredAvro {
            written: Written::new(self, subject, SchemaType::Avro, schema),
            codec: Arc::new(codec),
            resolvers: Arc::default(),
            of: PhantomData,
        })
    }

    /// Protobuf. `schema` is the text of the `.proto` file, and `message` the place of `M` in it: `[0]` for the first
    /// message, `[1, 0]` for the first one inside the second. Protobuf itself reads what older and newer versions
    /// wrote.
    #[cfg(feature = "protobuf")]
    #[must_use]
    pub fn protobuf<M>(&self, subject: &str, schema: &str, message: &[u32]) -> RegisteredProtobuf<M> {
        let written = Written::new(self, subject, SchemaType::Protobuf, schema);
        RegisteredProtobuf { written, message: message.into(), of: PhantomData }
    }
}

macro_rules! described {
    ($format:ident) => {
        impl<T> fmt::Debug for $format<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($format)).field(&self.written.subject).finish()
            }
        }
    };
}

/// JSON whose schema is in a registry. Made by [`SchemaRegistry::json`].
pub struct RegisteredJson<T> {
    written: Arc<Written>,
    of: PhantomData<fn() -> T>,
}

described!(RegisteredJson);

impl<T> Clone for RegisteredJson<T> {
    fn clone(&self) -> Self {
        Self { written: Arc::clone(&self.written), of: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde for RegisteredJson<T> {
    type View = Owned<T>;

    /// The schema of the record is not asked for: JSON is read without it.
    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let (_, json) = wire::split(bytes)?;
        Json::new().decode(json)
    }

    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        wire::put(self.written.id()?, out);
        Json::new().encode(value, out)
    }

    fn name(&self) -> String {
        self.written.name::<Self>()
    }
}

/// Avro whose schema is in a registry. Made by [`SchemaRegistry::avro`].
#[cfg(feature = "avro")]
pub struct RegisteredAvro<T> {
    written: Arc<Written>,
    codec: Arc<crate::avro::Codec>,
    /// How records of each writer's schema are read.
    resolvers: Arc<std::sync::Mutex<std::collections::HashMap<i32, Arc<crate::avro::Resolver>>>>,
    of: PhantomData<fn() -> T>,
}

#[cfg(feature = "avro")]
described!(RegisteredAvro);

#[cfg(feature = "avro")]
impl<T> Clone for RegisteredAvro<T> {
    fn clone(&self) -> Self {
        Self {
            written: Arc::clone(&self.written),
            codec: Arc::clone(&self.codec),
            resolvers: Arc::clone(&self.resolvers),
            of: PhantomData,
        }
    }
}

#[cfg(feature = "avro")]
impl<T> RegisteredAvro<T> {
    fn resolver(&self, id: i32) -> Result<Arc<crate::avro::Resolver>, SerdeError> {
        let resolvers = || self.resolvers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = resolvers().get(&id) {
            return Ok(Arc::clone(known));
        }
        // Nobody waits for the question of another worker: one may take as long as a session lasts.
        let registry = &self.written.registry;
        let schema = match registry.schema(id) {
            Ok(schema) => schema,
            // The bytes name a schema that nobody registered here: they are not this format. A plain 404 may come from
            // anything in front of the registry, and says nothing about the bytes.
            Err(error @ RegistryError::Refused { code: SCHEMA_NOT_FOUND, .. }) => {
                return Err(SerdeError::Custom(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if schema.schema_type != SchemaType::Avro {
            return Err(SerdeError::Custom(format!("schema {id} is {:?}, not Avro", schema.schema_type)));
        }
        let others = registry.references(&schema).map_err(|error| match error {
            RegistryError::Refused { code, .. } if GONE.contains(&code) => SerdeError::Custom(error.to_string()),
            error => error.into(),
        })?;
        let (writer, others) = crate::avro::foreign::parse(&schema.schema, &others)?;
        let resolver = Arc::new(self.codec.resolver(&writer, &others)?);
        Ok(Arc::clone(resolvers().entry(id).or_insert(resolver)))
    }
}

#[cfg(feature = "avro")]
impl<T: Serialize + DeserializeOwned + 'static> Serde for RegisteredAvro<T> {
    type View = Owned<T>;

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let (id, value) = wire::split(bytes)?;
        let resolver = self.resolver(id)?;
        self.codec.read_as(&resolver, value)
    }

    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        wire::put(self.written.id()?, out);
        self.codec.write(value, out)
    }

    fn name(&self) -> String {
        self.written.name::<Self>()
    }
}

/// Protobuf whose schema is in a registry. Made by [`SchemaRegistry::protobuf`].
#[cfg(feature = "protobuf")]
pub struct RegisteredProtobuf<M> {
    written: Arc<Written>,
    message: Arc<[u32]>,
    of: PhantomData<fn() -> M>,
}

#[cfg(feature = "protobuf")]
described!(RegisteredProtobuf);

#[cfg(feature = "protobuf")]
impl<M> Clone for RegisteredProtobuf<M> {
    fn clone(&self) -> Self {
        Self { written: Arc::clone(&self.written), message: Arc::clone(&self.message), of: PhantomData }
    }
}

#[cfg(feature = "protobuf")]
impl<M: prost::Message + Default + 'static> Serde for RegisteredProtobuf<M> {
    type View = Owned<M>;

    /// The schema of the record is not asked for, and the place of its message is not looked at: `M` says what it is.
    fn decode(&self, bytes: &[u8]) -> Result<M, SerdeError> {
        let (_, rest) = wire::split(bytes)?;
        crate::Protobuf::new().decode(wire::skip_message_indexes(rest)?)
    }

    fn encode(&self, value: &M, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        wire::put(self.written.id()?, out);
        wire::put_message_indexes(&self.message, out);
        crate::Protobuf::new().encode(value, out)
    }

    fn name(&self) -> String {
        self.written.name::<Self>()
    }
}
