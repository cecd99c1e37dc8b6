//! What ops bind compared with what kernels declare, and both with the limits of every device.

use std::collections::HashSet;

use naga::{AddressSpace, Module, StorageAccess, TypeInner};
use pellucid::gpu::{Binding, Caps, Dispatch, Field, Params};
use pellucid::ops::backward::{Clipping, OptimizerSettings};
use pellucid::select::KERNELS;

use super::every_op::recordings;
use super::module::parse;

#[test]
fn ops_bind_what_kernels_declare() {
    let (mut seen, mut reached) = (HashSet::new(), HashSet::new());
    for recording in recordings() {
        for dispatch in recording.dispatches() {
            check_sharing(dispatch);
            reached.insert(dispatch.program.kernel.name);
            // Dispatches that differ only in their buffers have the same layout.
            let layout: Vec<Vec<bool>> = dispatch
                .groups
                .iter()
                .map(|group| group.iter().map(|b| matches!(b, Binding::Write(_))).collect())
                .collect();
            let (label, fields) = (dispatch.program.label(), dispatch.fields);
            if seen.insert(format!("{label} {layout:?} {fields:?}")) {
                check(dispatch, &layout);
            }
        }
    }
    for kernel in KERNELS {
        assert!(reached.contains(kernel.name), "the sample of ops reaches {}", kernel.name);
    }
}

/// No buffer is bound both for reading and for writing: devices reject that.
fn check_sharing(dispatch: &Dispatch) {
    let bindings: Vec<Binding> = dispatch.groups.iter().flatten().copied().collect();
    for written in bindings.iter().filter(|binding| matches!(binding, Binding::Write(_))) {
        let times = bindings.iter().filter(|b| b.buffer() == written.buffer()).count();
        assert_eq!(times, 1, "{} binds {written:?} twice", dispatch.program.label());
    }
}

/// `writes` says for each storage buffer whether the op writes it.
fn check(dispatch: &Dispatch, writes: &[Vec<bool>]) {
    let label = dispatch.program.label();
    let parsed = parse(&dispatch.program);
    let module = &parsed.module;
    let (mut declared, mut uniforms) = (0, 0);
    for (_, global) in module.global_variables.iter() {
        let Some(binding) = &global.binding else { continue };
        let (group, slot) = (binding.group as usize, binding.binding as usize);
        let name = global.name.as_deref().unwrap_or_default();
        match global.space {
            AddressSpace::Uniform => {
                assert_eq!((group, slot), (0, 0), "{label}: the place of {name}");
                check_fields(&label, module, global.ty, dispatch.fields, dispatch.params.len());
                uniforms += 1;
            }
            AddressSpace::Storage { access } => {
                declared += 1;
                let place = slot.wrapping_sub(usize::from(group == 0));
                let bound = writes.get(group).and_then(|group| group.get(place));
                if let TypeInner::Struct { .. } = module.types[global.ty].inner {
                    let (fields, bytes) = stored(module, global.ty);
                    check_fields(&label, module, global.ty, fields, bytes);
                }
                let write = access.contains(StorageAccess::STORE);
                assert_eq!(bound, Some(&write), "{label}: group {group}, binding {slot}, {name}");
            }
            _ => panic!("{label}: {name} is bound in a space of its own"),
        }
    }
    assert_eq!(uniforms, 1, "{label}: structs of params");
    let bound: usize = writes.iter().map(Vec::len).sum();
    assert_eq!(bound, declared, "{label}: as many buffers as declared");
    let limits = Caps::default();
    assert!(declared <= 8, "{label}: {declared} storage buffers");

    let resolved = parsed.resolve(&dispatch.program).module;
    let size: u32 = resolved.entry_points[0].workgroup_size.iter().product();
    assert!(size <= limits.max_invocations, "{label}: {size} invocations");
    let shared =
        resolved.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    let bytes: u32 = shared.map(|(_, v)| resolved.types[v.ty].inner.size(resolved.to_ctx())).sum();
    assert!(bytes <= limits.max_workgroup_bytes, "{label}: {bytes} bytes of workgroup memory");
}

/// Compares a struct of a shader with the one that Rust fills: names, offsets, types and size.
fn check_fields(
    label: &str,
    module: &Module,
    ty: naga::Handle<naga::Type>,
    fields: &[Field],
    bytes: usize,
) {
    let TypeInner::Struct { members, span } = &module.types[ty].inner else {
        panic!("{label}: the params are no struct");
    };
    let declared: Vec<_> = members
        .iter()
        .map(|member| {
            let name = member.name.as_deref().unwrap_or_default();
            (name, member.offset as usize, wgsl_type(&module.types[member.ty].inner))
        })
        .collect();
    let filled: Vec<_> = fields.iter().map(|field| (field.name, field.offset, field.ty)).collect();
    assert_eq!(filled, declared, "{label}: fields of the params in Rust, and in the shader");
    assert_eq!(bytes, *span as usize, "{label}: bytes of the params in Rust, and in the shader");
}

/// The fields and the size of the Rust struct that is written to a buffer of this type.
fn stored(module: &Module, ty: naga::Handle<naga::Type>) -> (&'static [Field], usize) {
    match module.types[ty].name.as_deref() {
        Some("OptimizerSettings") => (OptimizerSettings::FIELDS, size_of::<OptimizerSettings>()),
        Some("Clipping") => (Clipping::FIELDS, size_of::<Clipping>()),
        other => panic!("no struct of Rust is written to a buffer of {other:?}"),
    }
}

/// The type of a member in WGSL.
fn wgsl_type(inner: &TypeInner) -> &'static str {
    match inner {
        TypeInner::Scalar(naga::Scalar::U32) => "u32",
        TypeInner::Scalar(naga::Scalar::F32) => "f32",
        TypeInner::Vector { size: naga::VectorSize::Bi, scalar: naga::Scalar::U32 } => "vec2<u32>",
        other => panic!("params of type {other:?}"),
    }
}
