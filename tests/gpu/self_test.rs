//! The self-test: it covers every kernel and part, and a variant that computes wrong results does
//! no harm.

use std::collections::BTreeSet;
use std::path::Path;

use pellucid::check;
use pellucid::check::{Report, Shard};
use pellucid::checkpoint::Checkpoint;
use pellucid::format::Format;
use pellucid::gpu::{AdapterChoice, Caps, Engine, Gpu, Need, Part, Program};
use pellucid::measure;
use pellucid::model::{self, LoadOptions, Model, Session, SessionOptions};
use pellucid::select::{KERNELS, KernelSelection, Lanes, Matmul, PARTS, Reduce, part};
use pellucid::train::{DryRun, TrainOptions};
use pellucid::tune::Record;
use pellucid::{Error, Remedy};

use crate::shared::{gpu, own_gpu};

fn able(caps: &Caps, needs: &[Need]) -> bool {
    needs.iter().all(|need| match need {
        Need::Subgroups => caps.subgroups.is_some(),
        Need::F16 => caps.f16,
    })
}

#[test]
fn the_doctor_tries_every_kernel_and_part_and_finds_them_right() {
    let caps = gpu().caps().clone();
    let mut report = Report::default();
    for shard in Shard::ALL {
        let progress = &mut |_, _| {};
        let tried = check::doctor(Engine::new(gpu()), shard, progress);
        report.join(pollster::block_on(tried).unwrap());
    }
    let wrong: Vec<_> = report.verdicts.values().filter(|verdict| !verdict.ok).collect();
    assert!(report.ok() && wrong.is_empty() && report.excluded.is_empty(), "{wrong:#?}");
    let label = |name: &String| name.split([' ', '+']).map(str::to_owned).collect::<Vec<_>>();
    let tried: BTreeSet<String> = report.verdicts.keys().flat_map(label).collect();
    // Ceilings are only measured, and have no twin.
    let kernels = KERNELS.iter().filter(|kernel| !kernel.name.starts_with("ceiling_"));
    let kernels = kernels.filter(|kernel| able(&caps, kernel.needs)).map(|kernel| kernel.name);
    let fixed = caps.subgroups.is_none_or(|(least, most)| least == most);
    // A kernel for CPUs with wide vector units.
    let wide = fixed && caps.software && caps.subgroups.is_some_and(|(least, _)| least >= 8);
    for name in kernels.chain(PARTS.iter().filter(|p| able(&caps, p.needs)).map(|p| p.name)) {
        let one_size = ["matvec_shuffle", "reduce_subgroup", "lanes_subgroup"].contains(&name);
        let offered = match name {
            "attention_split_shuffle" => wide,
            _ => fixed || !one_size,
        };
        assert!(tried.contains(name) || !offered, "{name} is not covered");
    }
}

/// Every subgroup takes its own sum for the total.
static ONE_SUBGROUP: [Part; 1] = [Part {
    name: "reduce_subgroups",
    source: "override WG: u32 = 256u;
        override LEAST: u32 = 4u;
        fn sum_workgroup(value: f32, lane: u32) -> f32 { return subgroupAdd(value); }
        fn max_workgroup(value: f32, lane: u32) -> f32 { return subgroupMax(value); }",
    needs: &[Need::Subgroups],
}];

/// f16 products lose the factor that keeps them in range.
static LOST_FACTOR: [Part; 1] = [Part {
    name: "tile_f16",
    source: "alias Four = vec4<f16>;
        alias Fours = mat4x4<f16>;
        fn narrow_w(value: vec4<f32>) -> Four { return vec4<f16>(value); }
        fn narrow_x(value: vec4<f32>) -> Four { return vec4<f16>(value / 16.0); }
        fn multiply(value: Four, columns: Fours) -> vec4<f32> { return vec4<f32>(value * columns); }",
    needs: &[Need::F16],
}];

/// No compiler accepts this.
static NONSENSE: [Part; 1] = [Part {
    name: "reduce_subgroups",
    source: "override WG: u32 = 256u;
        override LEAST: u32 = 4u;
        fn sum_workgroup(value: f32, lane: u32) -> f32 { return subgroupAdd(valeu); }",
    needs: &[Need::Subgroups],
}];

/// The plain sum is wrong too.
static NOTHING_RIGHT: [Part; 1] = [Part {
    name: "reduce_workgroup",
    source: "override WG: u32 = 32u;
        fn sum_workgroup(value: f32, lane: u32) -> f32 { return value; }
        fn max_workgroup(value: f32, lane: u32) -> f32 { return value; }",
    needs: &[],
}];

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/llama");

fn load(engine: &mut Engine) -> Model {
    let checkpoint = Checkpoint::open(Path::new(GOLDEN)).unwrap();
    Model::load(engine, &checkpoint, LoadOptions::default(), &mut |_, _| {}).unwrap()
}

/// The error of a session's log-probabilities against the golden ones.
fn error(engine: Engine, model: Model, selection: KernelSelection) -> f64 {
    let mut session = Session::new(engine, model, selection, SessionOptions::default()).unwrap();
    let golden = std::fs::read_to_string(Path::new(GOLDEN).join("golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let sequence = &golden["sequences"][0];
    let numbers = |name: &str| sequence[name].as_array().unwrap().clone();
    let tokens: Vec<u32> = numbers("tokens").iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let rows = model::rows(&tokens[..tokens.len() - 1], 0);
    let scored = pollster::block_on(session.score(&rows, &tokens[1..], None)).unwrap();
    let golden: Vec<f64> = numbers("logprobs").iter().map(|x| x.as_f64().unwrap()).collect();
    measure::furthest(&scored.logprobs, &golden)
}

fn verify_kernels(
    engine: Engine,
    model: &Model,
    record: &mut Record,
) -> pellucid::Result<(Engine, KernelSelection)> {
    let options = SessionOptions::default();
    let config = &model.config;
    let heads = [config.heads, config.kv_heads, config.head_width];
    let cache = model::layer_cache(engine.gpu(), config, &options).unwrap();
    let programs =
        |selection: &KernelSelection| model::programs(model, selection, &cache, &options);
    pollster::block_on(check::verify_kernels(engine, record, heads, &programs))
}

fn used(gpu: &Gpu, model: &Model, selection: &KernelSelection) -> Vec<Program> {
    let options = SessionOptions::default();
    let cache = model::layer_cache(gpu, &model.config, &options).unwrap();
    model::programs(model, selection, &cache, &options).unwrap()
}

/// Makes a record prefer the variant that a part belongs to, unless it is the default anyway.
fn prefer(record: &mut Record, part: &str, caps: &Caps, model: &Model) {
    match (part, caps.subgroups) {
        ("reduce_subgroups", Some((least, _))) => {
            record.profile.reduce = Some(Reduce::AcrossSubgroups { size: 256, least });
        }
        ("tile_f16", _) => {
            record.profile.f16 = true;
            for (map, rows) in
                model.maps().flat_map(|map| [16, 32, 64, 128].map(|rows| (map, rows)))
            {
                let name = map.weight.shape(rows);
                record.profile.matmul.insert(name, Matmul::TiledF16);
            }
        }
        _ => panic!("nothing prefers {part}"),
    }
}

#[test]
fn a_wrong_variant_is_caught_and_excluded_and_the_model_stays_right() {
    let caps = gpu().caps().clone();
    // Whether a compiler accepts them, so that they could do harm.
    let all = [(&ONE_SUBGROUP, true), (&NONSENSE, false), (&LOST_FACTOR, true)];
    let offered: Vec<_> = all.into_iter().filter(|(part, _)| able(&caps, part[0].needs)).collect();
    for &(broken, harmful) in &offered {
        let name = broken[0].name;
        let mut record = Record::default();
        let mut engine = Engine::with_parts(own_gpu(&AdapterChoice::default()), broken);
        let model = load(&mut engine);
        prefer(&mut record, name, &caps, &model);
        let unchecked = KernelSelection::new(&caps, record.profile.clone());
        let (engine, selection) = verify_kernels(engine, &model, &mut record).unwrap();
        let excluded: Vec<&str> = record.profile.excluded.iter().map(String::as_str).collect();
        assert_eq!(excluded, [name]);
        assert!(!record.passed.iter().any(|passed| passed.contains(name)));
        let error_with = error(engine, model, selection);
        assert!(error_with < 1e-3, "{name}: with the remaining variants: off by {error_with}");

        // What would have happened otherwise.
        if harmful {
            let mut engine = Engine::with_parts(own_gpu(&AdapterChoice::default()), broken);
            let model = load(&mut engine);
            let error_without = error(engine, model, unchecked);
            assert!(error_without > 1e-2, "{name}: the sabotage does no harm: {error_without}");
        }
    }
    if offered.is_empty() {
        // Such an adapter runs only what every device should run: nothing can be excluded, and the
        // next test shows what follows.
        let mut engine = Engine::new(gpu());
        let model = load(&mut engine);
        let selection = KernelSelection::defaults(&caps);
        let programs = used(engine.gpu(), &model, &selection);
        assert!(programs.iter().all(|program| program.needs().next().is_none()));
    }
}

#[test]
fn where_nothing_right_is_left_the_adapter_is_refused() {
    let gpu = gpu();
    let mut record = Record::default();
    record.profile.excluded.extend(["reduce_subgroup", "reduce_subgroups"].map(str::to_owned));
    let mut engine = Engine::with_parts(gpu, &NOTHING_RIGHT);
    let model = load(&mut engine);
    let refused = verify_kernels(engine, &model, &mut record).unwrap_err();
    let Error::Wrong { kernels, .. } = &refused else { panic!("{refused}") };
    assert!(kernels.iter().any(|kernel| kernel.contains("reduce_workgroup")), "{refused}");
    assert!(refused.remedies().contains(&Remedy::OnCpu), "{refused}");
}

#[test]
fn what_passed_is_not_tried_again() {
    let mut engine = Engine::new(gpu());
    let model = load(&mut engine);
    let mut record = Record::default();
    let (engine, first) = verify_kernels(engine, &model, &mut record).unwrap();
    let used = used(engine.gpu(), &model, &first);
    assert!(used.iter().all(|program| record.passed.contains(&check::variant(program))));
    let (before, kept) = (engine.counters(), record.clone());
    let (engine, second) = verify_kernels(engine, &model, &mut record).unwrap();
    assert_eq!(engine.counters().since(before).dispatches, 0);
    assert_eq!((first, kept), (second, record));
}

/// The variant measured to be best for a shape is checked before it is used, like any other.
#[test]
fn measured_variants_are_tried_too() {
    let mut engine = Engine::new(gpu());
    let model = load(&mut engine);
    let caps = engine.gpu().caps().clone();
    let mut record = Record::default();
    record.profile.f16 = true;
    let lanes = Lanes::candidates(&caps).into_iter().cycle();
    let matmuls = Matmul::candidates(&caps).into_iter().cycle();
    let weights = || model.maps().map(|map| &map.weight);
    for (weight, (lanes, matmul)) in weights().zip(lanes.zip(matmuls)) {
        for rows in [1, 2, 4, 8] {
            record.profile.lanes.insert(weight.shape(rows), lanes);
        }
        for rows in [16, 32, 64, 128] {
            record.profile.matmul.insert(weight.shape(rows), matmul);
        }
    }
    assert!(record.profile.lanes.len() > 4, "the model has several shapes");
    let (engine, selection) = verify_kernels(engine, &model, &mut record).unwrap();
    let used = used(engine.gpu(), &model, &selection);
    let untried: BTreeSet<String> =
        used.iter().map(check::variant).filter(|name| !record.passed.contains(name)).collect();
    assert!(untried.is_empty(), "{untried:#?}");
    let error = error(engine, model, selection);
    // Some of the products are in f16, if the adapter supports it.
    assert!(error < if caps.f16 { 5e-2 } else { 1e-3 }, "off by {error}");
}

#[test]
fn parts_that_stand_in_have_the_names_of_others() {
    for broken in [&ONE_SUBGROUP, &LOST_FACTOR, &NONSENSE, &NOTHING_RIGHT] {
        assert_eq!(part(broken[0].name).needs, broken[0].needs);
    }
}

/// Every program of a model, in generation and in training, is compared with its twin at first use.
#[test]
fn what_models_run_and_training_runs_is_tried() {
    let golden = |name: &str| {
        let folder = Path::new(GOLDEN).with_file_name(name);
        Checkpoint::open(&folder).unwrap()
    };
    let load = LoadOptions { quantize: Some(Format::F32) };
    let options = TrainOptions { batch: 2, context: 16, dropout: 0.1, ..TrainOptions::default() };
    for (checkpoint, mixed) in [(golden("gpt2"), false), (golden("llama"), true)] {
        let options = TrainOptions { mixed, ..options };
        let gpu = gpu();
        let model = Model::named(&checkpoint, load, gpu.caps()).unwrap();
        let dry_run = DryRun::new(&gpu, &model, options).unwrap();
        tried(gpu, &model, &|selection| dry_run.programs(selection));
    }
    let checkpoint = Checkpoint::built_in().unwrap();
    let (gpu, options) = (gpu(), SessionOptions::default());
    let model = Model::named(&checkpoint, LoadOptions::default(), gpu.caps()).unwrap();
    let cache = model::layer_cache(&gpu, &model.config, &options).unwrap();
    tried(gpu, &model, &|selection| model::programs(&model, selection, &cache, &options));
}

fn tried(
    gpu: Gpu,
    model: &Model,
    programs: &dyn Fn(&KernelSelection) -> pellucid::Result<Vec<Program>>,
) {
    let mut record = Record::default();
    let heads = [model.config.heads, model.config.kv_heads, model.config.head_width];
    let admitted = check::verify_kernels(Engine::new(gpu), &mut record, heads, programs);
    let (_, selection) = pollster::block_on(admitted).unwrap();
    for program in programs(&selection).unwrap() {
        let variant = check::variant(&program);
        assert!(record.passed.contains(&variant), "{variant} was not tested");
    }
}
