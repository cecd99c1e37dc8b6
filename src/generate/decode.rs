//! The resident decode loop: the token never leaves the device on its way to the next step.

use std::collections::VecDeque;
use std::time::Duration;

use web_time::Instant;

use crate::error::Result;
use crate::gpu::{BufferId, Counters, Readback, Tensor};
use crate::hook::Hook;
use crate::model::{Collected, Prefill, Row, Rows, Session, Staged, forward, logits, rows};
use crate::ops::{Chosen, Penalties, Sample, TopK};
use crate::sampling::Sampling;

/// Slots for drawn ids: always more than the steps in flight.
const RING: usize = 32;

/// The most steps in flight, so that a stop wastes little.
const MOST_IN_FLIGHT: usize = 8;

/// The most work in flight, for the same reason.
const TIME_IN_FLIGHT: Duration = Duration::from_millis(50);

/// Several sequences being continued in parallel.
#[derive(Debug)]
pub(super) struct Decoder {
    plan: Staged,
    /// The rows of the first step: later ones are further on by as many positions as there were steps.
    first: Vec<Row>,
    /// The prompts without their last tokens.
    prompts: Prefill,
    rows: BufferId,
    ids: BufferId,
    counts: Option<BufferId>,
    top: Option<BufferId>,
    sequences: usize,
    logprobs: Option<usize>,
    flights: VecDeque<Flight>,
    /// The values that the session keeps of each step, and those of the steps that arrived.
    reads: Vec<(Hook, Tensor)>,
    kept: Collected,
    /// Steps so far, including those of an earlier decoder.
    launched: usize,
    /// Those of the earlier decoder.
    drawn: usize,
    most_steps: usize,
    /// How many keys the longest row sees in the next step to be launched.
    extent: usize,
    arrived: Option<Instant>,
    pace: Option<Duration>,
    baseline: Option<(Counters, usize)>,
    received: usize,
}

/// A step that was launched.
#[derive(Debug)]
struct Flight {
    readback: Readback,
    /// The position of the row that it read, in the longest sequence.
    position: u32,
}

/// What one step drew for each sequence.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The drawn ids; [`UNDRAWN`](crate::ops::UNDRAWN) where the logits were not finite.
    pub(super) ids: Vec<u32>,
    /// Per sequence, (id, ln p) of the drawn token and of the K most probable ones, if asked for.
    pub(super) top: Option<Vec<Vec<(u32, f32)>>>,
}

impl Decoder {
    /// Prepares a step, and the prefill of the prompts: all of them except the last token and the first
    /// `kept`, which the caches already hold. The last `drawn` tokens of each were drawn by an earlier
    /// decoder, which this one continues.
    ///
    /// No prompt is empty, or longer than the context.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for ids outside the vocabulary and settings out of range.
    pub(super) fn new(
        session: &mut Session,
        prompts: &[&[u32]],
        kept: usize,
        drawn: usize,
        sampling: &Sampling,
        logprobs: Option<usize>,
    ) -> Result<Self> {
        sampling.check()?;
        let sequences = prompts.len();
        let vocab = session.model().config.vocab;
        let (mut unread, mut next) = (Vec::new(), Vec::new());
        for (sequence, prompt) in (0..).zip(prompts) {
            let mut rows = rows(prompt, sequence);
            next.extend(rows.pop().map(|row| Row { step: drawn as u32, ..row }));
            unread.extend(rows.into_iter().skip(kept));
        }
        session.check(&[&unread[..], &next].concat())?;
        // The larger plan first: its buffers have room for those of a step.
        let prefill = Prefill::new(session, unread)?;
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);

        let engine = session.engine_mut();
        let (rows, ids) = (BufferId::fresh(), BufferId::fresh());
        engine.create(rows, (sequences * size_of::<Row>()) as u64)?;
        engine.write(rows, 0, bytemuck::cast_slice(&next))?;
        engine.create(ids, (RING * sequences * 4) as u64)?;
        let counts = if penalized(sampling) {
            let counts = BufferId::fresh();
            engine.create(counts, (sequences * vocab * 4) as u64)?;
            let mut occurrences = vec![0_u32; sequences * vocab];
            for (sequence, prompt) in prompts.iter().enumerate() {
                for &token in *prompt {
                    occurrences[sequence * vocab + token as usize] += 1;
                }
            }
            engine.write(counts, 0, bytemuck::cast_slice(&occurrences))?;
            Some(counts)
        } else {
            None
        };
        let top = match logprobs {
            None => None,
            Some(k) => {
                let top = BufferId::fresh();
                engine.create(top, (RING * sequences * (k + 1) * 8) as u64)?;
                Some((top, k))
            }
        };

        let mut tape = session.tape(rows);
        let of = Rows { buffer: rows, count: sequences };
        let x = forward(&mut tape, session.model(), session.caches(), of)?;
        let raw = tape.tensor(sequences, vocab);
        logits(&mut tape, session.model(), x, None, raw)?;
        let mut chosen = raw;
        if let Some(counts) = counts {
            chosen = tape.tensor(sequences, vocab);
            tape.push(Penalties { logits: raw, counts, sampling: *sampling, out: chosen })?;
        }
        tape.push(Sample { logits: chosen, rows, counts, sampling: *sampling, ids, ring: RING })?;
        if let Some((out, k)) = top {
            tape.push(TopK { logits: raw, k, chosen: Some(Chosen { rows, ring: RING }), out })?;
        }
        let (recording, marks) = tape.finish();
        let most_steps = (session.context() + 1 + drawn).saturating_sub(longest);
        let engine = session.engine_mut();
        for (_, tensor) in &marks.reads {
            engine.create_tensor(tensor)?;
        }
        let plan = Staged::prepare(engine, &recording, &marks, 1)?;
        let decoder = Self {
            plan,
            first: next,
            prompts: prefill,
            rows,
            ids,
            counts,
            top: top.map(|(top, _)| top),
            sequences,
            logprobs,
            flights: VecDeque::new(),
            reads: marks.reads,
            kept: Collected::default(),
            launched: drawn,
            drawn,
            most_steps,
            extent: longest,
            arrived: None,
            pace: None,
            baseline: None,
            received: 0,
        };
        let kept: u64 = decoder.reads.iter().map(|(_, tensor)| tensor.bytes()).sum();
        engine.reserve_staging(decoder.drawn_bytes() + kept, MOST_IN_FLIGHT + 1);
        Ok(decoder)
    }

    /// How many steps the context has room for.
    pub(super) fn most_steps(&self) -> usize {
        self.most_steps
    }

    /// How many tokens of the prompts are still to be read.
    pub(super) fn unread(&self) -> usize {
        self.prompts.unread()
    }

    /// Continues the prefill, and returns once the device has finished another piece: gives how many
    /// tokens' worth of it is done, or `None` if all that is left is what [`Decoder::next`] reads with
    /// the first step.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub(super) async fn read(&mut self, session: &mut Session) -> Result<Option<usize>> {
        self.prompts.next(session).await
    }

    /// The next step's draws; launches later ones meanwhile, at most `wanted` in all.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub(super) async fn next(
        &mut self,
        session: &mut Session,
        wanted: usize,
    ) -> Result<Option<Step>> {
        while self.read(session).await?.is_some() {}
        self.prompts.submit_rest(session).await?;
        let wanted = wanted.min(self.most_steps);
        while self.launched < wanted && self.flights.len() < self.allowed() {
            self.launch(session).await?;
        }
        self.prompts.poll(session).await?;
        let Some(Flight { readback, position }) = self.flights.pop_front() else { return Ok(None) };
        let bytes = session.engine_mut().finish(readback).await?;
        let (drawn, kept) = bytes.split_at(self.drawn_bytes() as usize);
        if !self.reads.is_empty() {
            let row = Row { token: 0, position, sequence: 0, step: 0 };
            let (activations, _) = session.activations(&self.reads, &[row], kept);
            self.kept.add(activations, 1, position as usize + 1);
        }
        let now = Instant::now();
        self.pace = self.arrived.map(|before| now - before);
        self.arrived = Some(now);
        self.received += 1;
        if self.baseline.is_none() {
            self.baseline = Some((session.engine().counters(), self.launched));
        }
        Ok(Some(self.parse(drawn)))
    }

    /// The values that the session keeps, of all rows that were read so far.
    pub(super) fn take_kept(&mut self) -> Collected {
        let mut kept = self.prompts.take_kept();
        kept.append(std::mem::take(&mut self.kept));
        kept
    }

    /// What each step after the first cost on average; `None` before the second one.
    pub(super) fn counters(&self, session: &Session) -> Option<(Counters, usize)> {
        let (earlier, launched) = self.baseline?;
        let steps = self.launched - launched;
        (steps > 0).then(|| (session.engine().counters().since(earlier), steps))
    }

    /// Waits for what is still in flight and frees the buffers.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub(super) async fn close(mut self, session: &mut Session) -> Result<()> {
        self.prompts.poll(session).await?;
        while let Some(flight) = self.flights.pop_front() {
            session.engine_mut().finish(flight.readback).await?;
        }
        let own = [Some(self.rows), Some(self.ids), self.counts, self.top];
        let reads = self.reads.iter().map(|(_, tensor)| tensor.buffer);
        for buffer in own.into_iter().flatten().chain(reads) {
            session.engine_mut().free(buffer);
        }
        self.plan.free(session.engine_mut());
        Ok(())
    }

    /// Steps that may be in flight: 50 ms of work at the latest pace, at least one. A step that stops for
    /// the host is launched only when its token is wanted.
    fn allowed(&self) -> usize {
        let Some(pace) = self.pace.filter(|_| !self.plan.stops()) else { return 1 };
        let steps = TIME_IN_FLIGHT.as_secs_f64() / pace.as_secs_f64().max(1e-6);
        (steps as usize).clamp(1, MOST_IN_FLIGHT)
    }

    /// The bytes that a step gives for its ids, and for the most probable tokens.
    fn step_bytes(&self) -> [u64; 2] {
        let each = self.logprobs.map_or(0, |k| 8 * (k + 1));
        [4, each].map(|each| (self.sequences * each) as u64)
    }

    fn drawn_bytes(&self) -> u64 {
        self.step_bytes().iter().sum()
    }

    async fn launch(&mut self, session: &mut Session) -> Result<()> {
        let [ids, top] = self.step_bytes();
        let slot = (self.launched % RING) as u64;
        let mut reads = vec![(self.ids, slot * ids, ids)];
        reads.extend(self.top.map(|buffer| (buffer, slot * top, top)));
        reads.extend(self.reads.iter().map(|(_, tensor)| tensor.range()));
        let position = self.extent as u32 - 1;
        let steps = (self.launched - self.drawn) as u32;
        let on = |row: &Row| Row { position: row.position + steps, ..*row };
        let rows: Vec<Row> = self.first.iter().map(on).collect();
        let flight = session.run(&self.plan, &rows, &reads).await?;
        session.note_step(self.sequences);
        self.flights.extend(flight.map(|readback| Flight { readback, position }));
        self.launched += 1;
        self.extent += 1;
        Ok(())
    }

    fn parse(&self, bytes: &[u8]) -> Step {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let (ids, pairs) = words.split_at(self.sequences);
        let pair = |pair: &[u32]| (pair[0], f32::from_bits(pair[1]));
        let rows = |k| pairs.chunks(2 * (k + 1)).map(|row| row.chunks(2).map(pair).collect());
        Step { ids: ids.to_vec(), top: self.logprobs.map(|k| rows(k).collect()) }
    }
}

/// Whether any penalty is on, in which case occurrences must be counted.
pub(super) fn penalized(sampling: &Sampling) -> bool {
    sampling.repetition_penalty != 1.0
        || sampling.presence_penalty != 0.0
        || sampling.frequency_penalty != 0.0
}
