//! The uniform of a kernel: a struct that knows its fields, so that a test can compare them with the
//! shader's.

use bytemuck::Pod;

/// A struct that a shader reads, with the same fields in the same order as the shader's own.
pub trait Params: Pod {
    /// Its fields, in order.
    const FIELDS: &'static [Field];
}

/// A field of such a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, in Rust and in the shader.
    pub name: &'static str,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Its type, as WGSL writes it.
    pub ty: &'static str,
}

/// A type that fields may have.
pub trait FieldType {
    /// The type as WGSL writes it.
    const WGSL: &'static str;
}

impl FieldType for u32 {
    const WGSL: &'static str = "u32";
}

impl FieldType for f32 {
    const WGSL: &'static str = "f32";
}

impl FieldType for [u32; 2] {
    const WGSL: &'static str = "vec2<u32>";
}

/// Declares a struct that a shader reads, and implements [`Params`] for it.
macro_rules! params {
    (
        $(#[$meta:meta])*
        $visible:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_visible:vis $field:ident: $ty:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        $visible struct $name {
            $($(#[$field_meta])* $field_visible $field: $ty,)*
        }

        impl $crate::gpu::Params for $name {
            const FIELDS: &'static [$crate::gpu::Field] = &[$($crate::gpu::Field {
                name: stringify!($field),
                offset: std::mem::offset_of!($name, $field),
                ty: <$ty as $crate::gpu::FieldType>::WGSL,
            },)*];
        }
    };
}

pub(crate) use params;
