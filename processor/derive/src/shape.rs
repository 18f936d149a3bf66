//! The parameters of a type.

use syn::{DeriveInput, Error, GenericParam, Lifetime, Result};

/// The lifetime of a type, if it has one. Types with more than that have none of these derives.
///
/// # Errors
/// The type has two lifetimes, or parameters of another kind.
pub(crate) fn lifetime(input: &DeriveInput) -> Result<Option<&Lifetime>> {
    let mut found = None;
    for parameter in &input.generics.params {
        match parameter {
            GenericParam::Lifetime(one) if found.is_none() => found = Some(&one.lifetime),
            GenericParam::Lifetime(another) => {
                let text = "a record has one lifetime: let all fields borrow for the first one";
                return Err(Error::new_spanned(another, text));
            }
            GenericParam::Type(other) => {
                let text = "types with parameters cannot be derived: write a type for each argument";
                return Err(Error::new_spanned(other, text));
            }
            GenericParam::Const(other) => {
                let text = "types with parameters cannot be derived: write a type for each number";
                return Err(Error::new_spanned(other, text));
            }
        }
    }
    Ok(found)
}
