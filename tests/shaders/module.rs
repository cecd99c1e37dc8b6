//! Every linked module: valid, uniform where required, and translatable for every backend.

use std::collections::HashMap;
use std::path::PathBuf;

use naga::back::{self, PipelineConstants};
use naga::proc::BoundsCheckPolicies;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Block, Function, Handle, Module, ShaderStage, Statement};
use pellucid::gpu::{Need, Program, Target, link};

use super::programs;

/// A linked program as naga sees it.
pub(super) struct Parsed {
    pub(super) module: Module,
    pub(super) info: ModuleInfo,
}

pub(super) fn parse(program: &Program) -> Parsed {
    let label = program.label();
    let text = link(program, Target::Naga);
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{label}: {}", error.emit_to_string(&text)));
    let capabilities = Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{label}: {}", error.emit_to_string(&text)));
    Parsed { module, info }
}

impl Parsed {
    /// The module with its overrides resolved.
    pub(super) fn resolve(&self, program: &Program) -> Self {
        let mut constants = PipelineConstants::default();
        constants
            .extend(program.constants.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        let entry = Some((ShaderStage::Compute, program.kernel.name));
        let (module, info) = back::pipeline_constants::process_overrides(
            &self.module,
            &self.info,
            entry,
            &constants,
        )
        .unwrap_or_else(|error| panic!("{}: {error}", program.label()));
        Self { module: module.into_owned(), info: info.into_owned() }
    }

    fn spirv(&self, entry_point: &str) -> Vec<u32> {
        let mut options = back::spv::Options { lang_version: (1, 3), ..Default::default() };
        options.flags.remove(back::spv::WriterFlags::DEBUG);
        let stage = back::spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: entry_point.to_owned(),
        };
        back::spv::write_vec(&self.module, &self.info, &options, Some(&stage)).expect("SPIR-V")
    }

    fn metal(&self, entry_point: &str) -> String {
        let options = back::msl::Options { lang_version: (2, 4), ..Default::default() };
        let stage = back::msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, entry_point.to_owned())),
            ..Default::default()
        };
        back::msl::write_string(&self.module, &self.info, &options, &stage).expect("Metal").0
    }

    fn direct3d(&self, entry_point: &str) -> String {
        let options = back::hlsl::Options {
            shader_model: back::hlsl::ShaderModel::V6_2,
            ..Default::default()
        };
        let stage = back::hlsl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, entry_point.to_owned())),
        };
        let mut text = String::new();
        let mut writer = back::hlsl::Writer::new(&mut text, &options, &stage);
        writer.write(&self.module, &self.info, None).expect("Direct3D");
        text
    }

    fn opengl(&self, entry_point: &str, version: back::glsl::Version) -> String {
        let options = back::glsl::Options { version, ..Default::default() };
        let stage = back::glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: entry_point.to_owned(),
            multiview: None,
        };
        let mut text = String::new();
        let policies = BoundsCheckPolicies::default();
        back::glsl::Writer::new(&mut text, &self.module, &self.info, &options, &stage, policies)
            .and_then(|mut writer| writer.write())
            .unwrap_or_else(|error| panic!("{version}: {error}"));
        text
    }
}

/// A program as it is, and again with every Boolean override inverted, so that both sides of every
/// branch are translated.
fn both_ways(program: &Program, parsed: &Parsed) -> Vec<Program> {
    let mut turned = program.clone();
    for (_, constant) in parsed.module.overrides.iter() {
        let boolean = parsed.module.types[constant.ty].inner.scalar() == Some(naga::Scalar::BOOL);
        if let (true, Some(init), Some(name)) = (boolean, constant.init, &constant.name) {
            let literal = &parsed.module.global_expressions[init];
            let on = matches!(literal, naga::Expression::Literal(naga::Literal::Bool(true)));
            turned = turned.constant(name.clone().leak(), f64::from(u8::from(!on)));
        }
    }
    let mut both = vec![program.clone(), turned];
    both.dedup_by_key(|program| program.label());
    both
}

#[test]
fn every_program_is_valid_and_translates_for_every_backend() {
    let folder = std::env::var_os("PELLUCID_SPIRV_OUT").map(PathBuf::from);
    let programs = programs();
    for program in &programs {
        let parsed = parse(program);
        let name = program.kernel.name;
        let entries: Vec<&str> =
            parsed.module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(entries, [name], "one entry point, named as the file");
        for variant in both_ways(program, &parsed) {
            let resolved = parsed.resolve(&variant);
            let words = resolved.spirv(name);
            if let Some(folder) = &folder {
                let file = variant.label().replace([' ', '='], "-") + ".spv";
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                std::fs::write(folder.join(file), bytes).expect("PELLUCID_SPIRV_OUT is a folder");
            }
            assert!(resolved.metal(name).contains(name), "{}", variant.label());
            assert!(resolved.direct3d(name).contains(name), "{}", variant.label());
            // OpenGL has no f16, and naga does not write it there.
            if program.needs().all(|need| need != Need::F16) {
                resolved.opengl(name, back::glsl::Version::Desktop(430));
                resolved.opengl(name, back::glsl::Version::new_gles(310));
            }
        }
    }
    println!("{} programs", programs.len());
}

/// Browsers reject a barrier that some invocations never reach, and naga does not. So no function
/// may have a return before a barrier, in itself or in what it calls.
#[test]
fn no_return_comes_before_a_barrier() {
    for program in programs() {
        let Parsed { module, .. } = parse(&program);
        let mut waits = HashMap::new();
        // naga puts a function after all those that it calls.
        for (handle, function) in module.functions.iter() {
            let waiting = check_order(function, &waits, &program);
            waits.insert(handle, waiting);
        }
        for entry in &module.entry_points {
            check_order(&entry.function, &waits, &program);
        }
    }
}

/// Fails if a return comes before a barrier; returns whether there is a barrier at all.
fn check_order(
    function: &Function,
    waits: &HashMap<Handle<Function>, bool>,
    program: &Program,
) -> bool {
    let mut events = Vec::new();
    collect(&function.body, waits, &mut events);
    let first_return = events.iter().position(|event| *event == Event::Return);
    let last_wait = events.iter().rposition(|event| *event == Event::Wait);
    if let (Some(first_return), Some(last_wait)) = (first_return, last_wait) {
        assert!(
            last_wait < first_return,
            "{}: {} returns above a barrier",
            program.label(),
            function.name.as_deref().unwrap_or(program.kernel.name)
        );
    }
    last_wait.is_some()
}

#[derive(PartialEq)]
enum Event {
    Return,
    Wait,
}

fn collect(block: &Block, waits: &HashMap<Handle<Function>, bool>, events: &mut Vec<Event>) {
    for statement in block {
        match statement {
            Statement::Return { .. } => events.push(Event::Return),
            Statement::ControlBarrier(_)
            | Statement::WorkGroupUniformLoad { .. }
            | Statement::SubgroupBallot { .. }
            | Statement::SubgroupGather { .. }
            | Statement::SubgroupCollectiveOperation { .. } => events.push(Event::Wait),
            Statement::Call { function, .. } if waits[function] => events.push(Event::Wait),
            Statement::Block(block) => collect(block, waits, events),
            Statement::If { accept, reject, .. } => {
                collect(accept, waits, events);
                collect(reject, waits, events);
            }
            Statement::Switch { cases, .. } => {
                cases.iter().for_each(|case| collect(&case.body, waits, events));
            }
            Statement::Loop { body, continuing, .. } => {
                // Twice, since what follows a barrier precedes it in the next iteration.
                for _ in 0..2 {
                    collect(body, waits, events);
                    collect(continuing, waits, events);
                }
            }
            _ => {}
        }
    }
}
