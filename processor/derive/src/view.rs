//! `#[derive(View)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Error, Field, GenericArgument, PathArguments, Result, Type, parenthesized};

use crate::shape::lifetime;

/// Writes the implementations of `View` and `Reborrow`.
///
/// # Errors
/// The type borrows nothing, or serde would copy a field that could borrow.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Some(lifetime) = lifetime(input)? else {
        let text = format!(
            "`{name}` borrows nothing, so it is its own view: use it as `Owned<{name}>`, which `Json<{name}>` does by \
             itself; or let it borrow, as in `struct {name}<'a> {{ text: &'a str }}`"
        );
        return Err(Error::new_spanned(name, text));
    };
    let with_serde = !is_without_serde(input)?;
    for field in fields(input)? {
        check(field, &lifetime.ident.to_string(), with_serde)?;
    }
    let clone = quote_spanned!(name.span()=> ::core::clone::Clone::clone(value));
    Ok(quote! {
        impl ::processor::types::View for #name<'static> {
            type Ref<'view> = #name<'view>;
        }

        impl ::processor::types::Reborrow for #name<'static> {
            fn reborrow<'short, 'long: 'short>(value: &'short #name<'long>) -> #name<'short> {
                #clone
            }
        }
    })
}

fn fields(input: &DeriveInput) -> Result<Vec<&Field>> {
    match &input.data {
        Data::Struct(data) => Ok(data.fields.iter().collect()),
        Data::Enum(data) => Ok(data.variants.iter().flat_map(|variant| &variant.fields).collect()),
        Data::Union(_) => Err(Error::new_spanned(&input.ident, "a union cannot be a view: use a struct or an enum")),
    }
}

/// Whether the type says `#[view(without_serde)]`.
fn is_without_serde(input: &DeriveInput) -> Result<bool> {
    let mut found = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("view")) {
        attribute.parse_nested_meta(|meta| {
            found = meta.path.is_ident("without_serde");
            if found { Ok(()) } else { Err(meta.error("there is `without_serde` only")) }
        })?;
    }
    Ok(found)
}

/// Checks one field.
fn check(field: &Field, lifetime: &str, with_serde: bool) -> Result<()> {
    if let Type::Reference(reference) = &field.ty {
        return match reference.mutability {
            Some(_) => Err(Error::new_spanned(field, "a record cannot be changed: borrow by `&`, not by `&mut`")),
            None if !with_serde || is_borrowed_by_serde(&reference.elem) => Ok(()),
            None => {
                let text = "serde cannot borrow this: of references, only `&str` and `&[u8]`. Use the type itself; or add \
                            `#[view(without_serde)]` to the type that has the field, if serde has no part in it";
                Err(Error::new_spanned(&field.ty, text))
            }
        };
    }
    if !with_serde || !mentions(&field.ty, lifetime) {
        return Ok(());
    }
    if inside_option(&field.ty).is_some_and(|inside| is_named(inside, "Cow")) {
        let text = "serde copies the text in an `Option<Cow<..>>` always: use `Option<&str>` with `#[serde(borrow)]` for \
                    text without escapes, or `Cow` with `#[serde(borrow, default)]`, which is empty where there is none";
        return Err(Error::new_spanned(&field.ty, text));
    }
    if !field.attrs.iter().any(borrows) {
        let text = "serde borrows only `&str` and `&[u8]` by itself: add `#[serde(borrow)]` to this field; or \
                    `#[view(without_serde)]` to the type that has the field, if serde has no part in it";
        return Err(Error::new_spanned(field, text));
    }
    Ok(())
}

/// Whether serde borrows a reference to this type.
fn is_borrowed_by_serde(element: &Type) -> bool {
    match element {
        Type::Slice(slice) => is_named(&slice.elem, "u8"),
        other => is_named(other, "str"),
    }
}

/// Whether a type is that of the name, with or without a path and arguments.
fn is_named(of: &Type, name: &str) -> bool {
    matches!(of, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// The type in an `Option`.
fn inside_option(of: &Type) -> Option<&Type> {
    let Type::Path(path) = of else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inside) => Some(inside),
        _ => None,
    }
}

/// Whether a type has the lifetime anywhere in it.
fn mentions(of: &Type, lifetime: &str) -> bool {
    let mut after_apostrophe = false;
    quote!(#of).into_iter().any(|token| in_token(&token, lifetime, &mut after_apostrophe))
}

fn in_token(token: &proc_macro2::TokenTree, lifetime: &str, after_apostrophe: &mut bool) -> bool {
    use proc_macro2::TokenTree::{Group, Ident, Literal, Punct};
    let was_after = std::mem::take(after_apostrophe);
    match token {
        Punct(punct) => {
            *after_apostrophe = punct.as_char() == '\'';
            false
        }
        Ident(ident) => was_after && ident == lifetime,
        Group(group) => {
            let mut inner = false;
            group.stream().into_iter().any(|token| in_token(&token, lifetime, &mut inner))
        }
        Literal(_) => false,
    }
}

/// Whether an attribute is `#[serde(borrow)]`, alone or among others.
fn borrows(attribute: &Attribute) -> bool {
    let mut found = false;
    if attribute.path().is_ident("serde") {
        // Other arguments are serde's to check.
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("borrow");
            if meta.input.peek(syn::Token![=]) {
                let _: syn::Expr = meta.value()?.parse()?;
            } else if meta.input.peek(syn::token::Paren) {
                let inside;
                parenthesized!(inside in meta.input);
                let _: TokenStream = inside.parse()?;
            }
            Ok(())
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[track_caller]
    fn refused(input: &DeriveInput, because: &str) {
        let error = expand(input).expect_err("it cannot be a view").to_string();
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn a_type_that_borrows_for_one_lifetime_is_a_view() {
        let input: DeriveInput = parse_quote! {
            struct Order<'a> {
                customer: &'a str,
                raw: &'a [u8],
                #[serde(default, borrow)]
                text: Cow<'a, str>,
                #[serde(borrow = "'a", rename = "to")]
                address: Option<Address<'a>>,
                amount: u64,
                tags: Vec<String>,
            }
        };
        let written = expand(&input).expect("a view").to_string();
        assert!(written.contains("for Order < 'static > { type Ref < 'view > = Order < 'view > ; }"), "{written}");
        let input: DeriveInput = parse_quote!(
            enum Event<'a> {
                Text(&'a str),
                Number(i64),
                Nothing,
            }
        );
        assert!(expand(&input).is_ok());
        let input: DeriveInput = parse_quote!(
            #[view(without_serde)]
            struct Order<'a> {
                text: Cow<'a, str>,
                n: &'a u8,
            }
        );
        assert!(expand(&input).is_ok());
    }

    #[test]
    fn types_that_do_not_borrow_for_one_lifetime_are_told_why() {
        refused(
            &parse_quote!(
                struct Order {
                    amount: u64,
                }
            ),
            "use it as `Owned<Order>`",
        );
        refused(
            &parse_quote!(
                struct Order<'a, 'b> {
                    a: &'a str,
                    b: &'b str,
                }
            ),
            "one lifetime",
        );
        refused(
            &parse_quote!(
                struct Order<'a, T> {
                    a: &'a str,
                    b: T,
                }
            ),
            "types with parameters",
        );
        refused(
            &parse_quote!(
                struct Order<'a, const N: usize> {
                    a: &'a str,
                    b: [u8; N],
                }
            ),
            "types with parameters",
        );
        refused(&parse_quote!(union Order<'a> { a: &'a str, b: u8 }), "a union cannot be a view");
        refused(
            &parse_quote!(
                #[view(fast)]
                struct Order<'a> {
                    a: &'a str,
                }
            ),
            "`without_serde` only",
        );
    }

    #[test]
    fn fields_that_serde_would_copy_are_told_how_to_borrow() {
        refused(
            &parse_quote!(
                struct Order<'a> {
                    text: Cow<'a, str>,
                }
            ),
            "add `#[serde(borrow)]`",
        );
        refused(
            &parse_quote!(
                struct Order<'a> {
                    text: Option<&'a str>,
                }
            ),
            "add `#[serde(borrow)]`",
        );
        refused(
            &parse_quote!(
                struct Order<'a>(#[serde(rename = "x")] Vec<Item<'a>>);
            ),
            "add `#[serde(borrow)]`",
        );
        refused(
            &parse_quote!(
                struct Order<'a> {
                    #[serde(borrow)]
                    text: Option<Cow<'a, str>>,
                }
            ),
            "`#[serde(borrow, default)]`",
        );
        refused(
            &parse_quote!(
                struct Order<'a> {
                    text: &'a mut str,
                }
            ),
            "borrow by `&`",
        );
        refused(
            &parse_quote!(
                struct Order<'a> {
                    numbers: &'a [u64],
                }
            ),
            "only `&str` and `&[u8]`",
        );
    }
}
