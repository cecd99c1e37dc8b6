//! `pellucid tune`: finds the fastest kernel variants for a GPU and a model.

use std::time::Duration;

use clap::Args;
use pellucid::Result;
use pellucid::gpu::{Adapter, Engine, Gpu};
use pellucid::model::{self, LoadOptions, Model, SessionOptions};
use pellucid::select::{KernelSelection, Workload};
use pellucid::tune::{Contest, ProfileCache};
use serde::Serialize;

use crate::options::ModelOptions;
use crate::output;

/// The help of `--model`: for the other commands, its default is the built-in model.
const MODEL: &str = "Model to tune for: GGUF file, folder, or owner/name on the Hugging Face Hub \
                     [default: some common shapes]";

/// Find the fastest kernel variants for a GPU and a model.
///
/// The variants of each linear layer, of reductions and of attention are timed in turn; one
/// replaces the default if it is faster by more than noise. The results are kept in the cache
/// folder, for this adapter, driver and version of Pellucid, and used by all other commands unless
/// --no-tune is given. Without --model, some common shapes are measured.
#[derive(Debug, Args)]
#[command(mut_arg("model", |model| model.help(MODEL).long_help(MODEL)))]
pub(crate) struct Tune {
    /// Stop after this many seconds; the remaining shapes keep their defaults
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    seconds: u32,
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Findings<'a> {
    adapter: &'a Adapter,
    contests: &'a [Contest],
    file: Option<String>,
}

impl Tune {
    pub(crate) async fn run(&self) -> Result<()> {
        let choice = self.model.device.gpu("has no variants to tune")?;
        let gpu = Gpu::open(&choice).await?;
        let workload = if self.model.is_given() {
            // Only the shapes are needed, as they will be on the device.
            let options = self.model.options()?;
            let checkpoint = self.model.checkpoint()?;
            let load = LoadOptions { quantize: options.quantize };
            let model = Model::named(&checkpoint, load, gpu.caps())?;
            let session = SessionOptions { context: options.context, ..SessionOptions::default() };
            model::workload(&model, &KernelSelection::defaults(gpu.caps()), &session)?
        } else {
            Workload::common()
        };
        let adapter = gpu.adapter().clone();
        let store = ProfileCache::new(&adapter);
        let mut record = store.load();
        record.profile.f16 = self.model.f16();
        let bar = output::progress_bar("tuning {bar:30} {pos} of {len} shapes");
        let mut progress = |done: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let limit = Duration::from_secs(self.seconds.into());
        let mut engine = Engine::new(gpu);
        let tuned =
            pellucid::tune::tune(&mut engine, &workload, &record.profile, limit, &mut progress);
        bar.finish_and_clear();
        let (known, contests) = tuned?;
        record.profile.learn(&workload.shapes, known);
        store.save(&record);
        let file = store.path().map(|path| path.display().to_string());
        if self.json {
            return output::json(&Findings { adapter: &adapter, contests: &contests, file });
        }
        output::line(&output::place(Some(&adapter)))?;
        for Contest { what, default, taken, gain } in &contests {
            let change = if taken == default { "stays".to_owned() } else { format!("{gain:.2}x") };
            output::line(&format!("{what:<24}{change:>7}  {taken}"))?;
        }
        file.map_or(Ok(()), |file| output::line(&format!("saved in {file}")))
    }
}
