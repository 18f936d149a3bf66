//! `#[derive(Pack)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields, Lifetime, Member, Result};

use crate::shape::lifetime;

/// Writes the implementation of `Pack`.
///
/// # Errors
/// The type is no struct, or has parameters besides one lifetime.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Struct(data) = &input.data else {
        let text =
            format!("`{name}` cannot be packed: use a struct, with a number that says which kind of value it holds");
        return Err(Error::new_spanned(name, text));
    };
    let own = lifetime(input)?;
    let record = own.cloned().unwrap_or_else(|| Lifetime::new("'record", Span::call_site()));
    let arguments = own.map(|own| quote!(<#own>));
    let (mut layout, mut pack, mut unpack) = (Vec::new(), Vec::new(), Vec::new());
    for (field, member) in data.fields.iter().zip(data.fields.members()) {
        let (of, text) = (&field.ty, name_of(&member));
        // The field is where the compiler points if its type cannot be packed.
        layout.push(quote_spanned!(of.span()=> ::processor::serde::Packing::layout::<#of>(out, #text);));
        pack.push(quote_spanned!(of.span()=> ::processor::serde::Pack::pack(&self.#member, out)?;));
        unpack.push(quote_spanned!(of.span()=> #member: ::processor::serde::Packing::unpack(bytes, #text)?,));
    }
    let (open, close) = match &data.fields {
        Fields::Unnamed(_) => ("(", ")"),
        Fields::Named(_) | Fields::Unit => ("{", "}"),
    };
    Ok(quote! {
        impl<#record> ::processor::serde::Pack<#record> for #name #arguments {
            fn layout(out: &mut ::std::string::String) {
                out.push_str(#open);
                #(#layout)*
                out.push_str(#close);
            }

            fn pack(
                &self,
                out: &mut ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<(), ::processor::serde::SerdeError> {
                #(#pack)*
                ::core::result::Result::Ok(())
            }

            fn unpack(bytes: &mut &#record [u8]) -> ::core::result::Result<Self, ::processor::serde::SerdeError> {
                ::core::result::Result::Ok(Self { #(#unpack)* })
            }
        }
    })
}

fn name_of(member: &Member) -> String {
    match member {
        Member::Named(name) => name.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn fields_are_written_in_their_order() {
        let input: DeriveInput = parse_quote!(
            struct Order<'a> {
                customer: &'a str,
                amount: u64,
            }
        );
        let written = expand(&input).expect("it can be packed").to_string();
        assert!(written.contains("impl < 'a > :: processor :: serde :: Pack < 'a > for Order < 'a >"), "{written}");
        let place = |field: &str| written.find(&format!("& self . {field}")).expect("it is written");
        assert!(place("customer") < place("amount"));
        let input: DeriveInput = parse_quote!(
            struct Pair(u8, String);
        );
        assert!(expand(&input).expect("it can be packed").to_string().contains("Pack < 'record > for Pair"));
    }

    #[test]
    fn types_without_one_layout_are_told_why() {
        let refused = |input: &DeriveInput| expand(input).expect_err("it cannot be packed").to_string();
        assert!(
            refused(&parse_quote!(
                enum Event {
                    A,
                    B,
                }
            ))
            .contains("use a struct")
        );
        assert!(
            refused(&parse_quote!(
                struct Order<'a, 'b> {
                    a: &'a str,
                    b: &'b str,
                }
            ))
            .contains("one lifetime")
        );
        assert!(
            refused(&parse_quote!(
                struct Order<T> {
                    a: T,
                }
            ))
            .contains("types with parameters")
        );
    }
}
