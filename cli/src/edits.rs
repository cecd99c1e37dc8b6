//! Options that change named values of the model while it runs.

use clap::Args;
use pellucid::Result;
use pellucid::config::Config;
use pellucid::hook::Hook;
use pellucid::inspect::{EditText, Steering, Tensors, Unit};
use pellucid::model::Edit;

/// Changes of named values.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Edits")]
pub(crate) struct EditOptions {
    /// Change a named value, such as `resid_post.5[:, 3] *= 0`; may be repeated
    ///
    /// An edit is NAME[INDEX, ...] OPERATION [@prompt | @drawn]. NAME is a hook (see `pellucid inspect
    /// hooks`) or a glob. There is one index for each axis: a, a:b or :, where negative numbers count
    /// from the end of the prompt. Operations are `= NUMBER`, `= FILE:TENSOR`, `*= NUMBER`, `+= NUMBER`,
    /// `+= FILE:TENSOR [* NUMBER]`, `project FILE:TENSOR` (removes a direction) and `mean FILE:TENSOR`.
    /// It acts on the prompt and on every generated token, unless the suffix says otherwise.
    #[arg(long = "edit", value_name = "EDIT")]
    edits: Vec<EditText>,
    /// Ablate a part: L5, L5.attn, L5.mlp, head L5H1 or neuron L5N123; may be repeated
    #[arg(long = "ablate", value_name = "UNIT")]
    ablations: Vec<Unit>,
    /// Add steering vectors to the residual stream; may be repeated
    ///
    /// The file is a GGUF control vector, a vector from Neuronpedia, or safetensors with tensors named
    /// after hooks. SCALE multiplies the vectors; FIRST-LAST are the layers, the last one included.
    #[arg(long = "steer", value_name = "FILE[:SCALE][@FIRST-LAST]")]
    steering: Vec<Steering>,
}

impl EditOptions {
    /// The edits of a model, for a prompt of so many tokens.
    ///
    /// # Errors
    /// Those of [`EditText::resolve`], [`Unit::ablation`] and [`Steering::edits`].
    pub(crate) fn resolve(&self, config: &Config, prompt: usize) -> Result<Vec<(Hook, Edit)>> {
        let mut edits = Vec::new();
        let mut tensors = Tensors::default();
        for steering in &self.steering {
            edits.extend(steering.edits(config)?);
        }
        for edit in &self.edits {
            edits.extend(edit.resolve(config, prompt, &mut tensors)?);
        }
        for unit in &self.ablations {
            edits.extend(unit.ablation(config)?);
        }
        Ok(edits)
    }

    /// One more part to take out.
    pub(crate) fn ablate(&mut self, unit: Unit) {
        self.ablations.push(unit);
    }

    /// One more file of steering vectors.
    pub(crate) fn steer(&mut self, steering: Steering) {
        self.steering.push(steering);
    }

    /// One more edit.
    pub(crate) fn edit(&mut self, edit: EditText) {
        self.edits.push(edit);
    }

    /// Takes all of them back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Each as it was written.
    pub(crate) fn written(&self) -> Vec<String> {
        let steering = self.steering.iter().map(|steering| format!("steer {steering}"));
        let edits = self.edits.iter().map(|edit| format!("edit {edit}"));
        let ablations = self.ablations.iter().map(|unit| format!("ablate {unit}"));
        steering.chain(edits).chain(ablations).collect()
    }
}
