//! One kernel by hand: record it, run it, and compare it with its twin.

use pellucid::gpu::{AdapterChoice, Engine, Gpu, Recording, Tensor};
use pellucid::ops::{Op, RmsNorm};
use pellucid::reference;
use pellucid::select::KernelSelection;

fn main() -> pellucid::Result<()> {
    pollster::block_on(async {
        let gpu = Gpu::open(&AdapterChoice::default()).await?;
        println!("on {}", gpu.adapter().name);
        let selection = KernelSelection::defaults(gpu.caps());
        let mut engine = Engine::new(gpu);

        // Two rows of five values, and a gain.
        let values = [1.0_f32, 2.0, 3.0, 4.0, 5.0, -1.0, 0.5, 0.0, 0.5, 1.0];
        let gains = [1.0_f32, 1.0, 2.0, 1.0, 0.5];
        let (x, gain, out) =
            (Tensor::persistent(2, 5), Tensor::persistent(1, 5), Tensor::persistent(2, 5));
        for tensor in [&x, &gain, &out] {
            engine.create_tensor(tensor)?;
        }
        engine.write_tensor(&x, &values)?;
        engine.write_tensor(&gain, &gains)?;

        let mut recording = Recording::new();
        RmsNorm { x, gain: Some(gain), eps: 1e-5, out }.record(&mut recording, &selection)?;
        print!("{recording}");
        let plan = engine.prepare(&recording)?;
        engine.submit(&[(&plan, 1)], &[])?;
        let found = engine.read(&out).await?;

        let twin = reference::rms_norm(&values.map(f64::from), &gains, 1e-5);
        for (found, twin) in found.iter().zip(&twin) {
            println!("{found:10.6} {twin:10.6}");
        }
        Ok(())
    })
}
