//! `#[derive(View)]` and `#[derive(Pack)]` for the crate `processor`, which exports both.
//!
//! The code that they write is short, and can be written by hand: see the traits of the same names. An error points at
//! the part of the type that is in the way, and says how to mend it.

mod pack;
mod shape;
mod view;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a type with one lifetime the view of the values that borrow from a record: `Order<'static>` is then a view
/// whose values are `Order<'a>`.
///
/// The type needs `Clone`, because a record may have several readers. With serde, fields besides `&str` and `&[u8]`
/// that borrow need `#[serde(borrow)]`, or serde copies them; the derive asks for it. A type that serde has no part in
/// says so by `#[view(without_serde)]`.
#[proc_macro_derive(View, attributes(serde, view))]
pub fn view(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    view::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Writes the fields of a struct one after the other, and reads them back: the layout of `processor::serde::Packed`.
#[proc_macro_derive(Pack)]
pub fn pack(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    pack::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
