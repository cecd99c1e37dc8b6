//! Edits of named values of small models, compared with the same edits of the reference.

use pellucid::Error;
use pellucid::hook::Hook;
use pellucid::measure::furthest;
use pellucid::model::{Action, Change, Edit, SessionOptions, hooks};
use pellucid::reference::Observer;
use pollster::block_on;

use super::hooks::{error, open};
use super::{folder, rows};

/// The reference with the same edit, as plainly as possible; masked scores stay masked.
struct Edited<'a>(Hook, &'a Edit);

impl Observer for Edited<'_> {
    fn wants(&self, hook: Hook) -> bool {
        hook == self.0
    }

    fn see(&mut self, hook: Hook, shape: &[usize], values: &mut [f64]) {
        let (edit, heads_first) = (self.1, by_head(hook));
        let [tokens, heads, width] = sizes(hook, shape);
        let positions = edit.positions.clone().unwrap_or(0..tokens);
        let own_heads = edit.heads.clone().unwrap_or(0..heads);
        let columns = edit.columns.clone().unwrap_or(0..width);
        for (p, position) in positions.clone().enumerate() {
            for (h, head) in own_heads.clone().enumerate() {
                for (c, column) in columns.clone().enumerate() {
                    let row = if heads_first {
                        head * tokens + position
                    } else {
                        position * heads + head
                    };
                    let x = &mut values[row * width + column];
                    if *x == f64::NEG_INFINITY {
                        continue;
                    }
                    // Where the operand's values of this place are, if it has some for each.
                    let row =
                        if heads_first { h * positions.len() + p } else { p * own_heads.len() + h };
                    let at = row * columns.len() + c;
                    let value = |new: &[f32]| f64::from(new[at % new.len()]);
                    *x = match &edit.change {
                        Change::Zero => 0.0,
                        Change::Scale(factor) => *x * f64::from(*factor),
                        Change::Add(new) => *x + value(new),
                        Change::Replace(new) => value(new),
                        Change::Project(_) | Change::Call(_) | Change::Own(_) => {
                            panic!("these have tests of their own")
                        }
                    };
                }
            }
        }
    }
}

fn by_head(hook: Hook) -> bool {
    matches!(hook, Hook::AttnScores(_) | Hook::Pattern(_))
}

/// Positions, heads and columns of a value.
fn sizes(hook: Hook, shape: &[usize]) -> [usize; 3] {
    match *shape {
        [heads, tokens, keys] if by_head(hook) => [tokens, heads, keys],
        [tokens, heads, width] => [tokens, heads, width],
        [tokens, width] => [tokens, 1, width],
        _ => panic!("{hook} has the shape {shape:?}"),
    }
}

/// Edits of all kinds, over all of a value and over parts of it.
fn edits([tokens, heads, columns]: [usize; 3]) -> [Edit; 6] {
    let values = |count| (0..count).map(|i| 0.1 + (i % 3) as f32).collect::<Vec<f32>>();
    let half = 0..columns.div_ceil(2);
    let late = tokens - 2..tokens;
    let part = |change| Edit {
        change,
        positions: Some(late.clone()),
        columns: Some(half.clone()),
        ..Edit::all(Change::Zero)
    };
    let head = heads - 1..heads;
    [
        Edit::all(Change::Add(values(tokens * heads * columns))),
        Edit::all(Change::Replace(values(columns))),
        part(Change::Replace(values(2 * heads * half.len()))),
        Edit { heads: Some(head.clone()), ..part(Change::Add(values(2 * half.len()))) },
        Edit { heads: Some(head), ..part(Change::Scale(-0.5)) },
        part(Change::Zero),
    ]
}

#[test]
fn an_edit_of_any_value_reaches_the_logits_as_in_the_reference() {
    let tokens = [5, 3, 8, 1, 2, 6];
    for name in ["gpt2", "gpt2-odd", "llama", "qwen3"] {
        let (mut session, reference) = open(&folder().join(name), SessionOptions::default());
        let rows = rows(&tokens, 0);
        let plain = reference.forward(&mut reference.cache(), &tokens, &mut ()).unwrap();
        let layer = reference.config.layers - 1;
        let inside = |hook: &Hook| hook.layer().is_none_or(|own| own == layer.min(1));
        for hook in hooks(&reference.config).into_iter().filter(inside) {
            let shape = block_on(session.values(&rows, &[hook])).unwrap()[0].shape.clone();
            let scale = matches!(hook, Hook::Ln1Scale(_) | Hook::Ln2Scale(_) | Hook::LnFinalScale);
            for edit in edits(sizes(hook, &shape)) {
                if scale && edit.change == Change::Zero {
                    continue;
                }
                let mut observer = Edited(hook, &edit);
                let expected =
                    reference.forward(&mut reference.cache(), &tokens, &mut observer).unwrap();
                let actions = [(hook, Action::Edit(edit.clone()))];
                let found = block_on(session.observe(&rows, &actions)).unwrap();
                let error = error(&found.logits, &expected);
                assert!(error <= 1e-4, "{name}: {hook} is off by {error:.1e} after {edit:?}");
                assert!(plain != expected, "{name}: {hook} {edit:?} has no effect");
            }
        }
    }
}

#[test]
fn edits_act_in_their_order_and_before_reads() {
    let (mut session, _) = open(&folder().join("gpt2"), SessionOptions::default());
    let (hook, rows) = (Hook::ResidPre(1), rows(&[4, 5, 6], 0));
    let width = session.model().config.width;
    let actions = [
        (hook, Action::Read),
        (hook, Action::Edit(Edit::all(Change::Replace(vec![3.0; width])))),
        (hook, Action::Edit(Edit::all(Change::Scale(2.0)))),
        (hook, Action::Edit(Edit { positions: Some(1..2), ..Edit::all(Change::Zero) })),
    ];
    let found = block_on(session.observe(&rows, &actions)).unwrap().activations;
    let expected: Vec<f32> = [6.0, 0.0, 6.0].iter().flat_map(|x| vec![*x; width]).collect();
    assert_eq!(found[0].values, expected);
}

/// Masking a key by −∞ gives it no weight; the causal mask cannot be lifted.
#[test]
fn scores_can_be_hidden_and_the_mask_stays() {
    let (mut session, reference) = open(&folder().join("llama"), SessionOptions::default());
    let rows = rows(&[5, 3, 8, 1], 0);
    let heads = reference.config.heads;
    let hide = Edit { columns: Some(1..2), ..Edit::all(Change::Replace(vec![f32::NEG_INFINITY])) };
    let hooks = [Hook::AttnScores(0), Hook::Pattern(0)];
    let mut actions = hooks.map(|hook| (hook, Action::Read)).to_vec();
    actions.push((hooks[0], Action::Edit(Edit::all(Change::Zero))));
    actions.push((hooks[0], Action::Edit(hide)));
    let found = block_on(session.observe(&rows, &actions)).unwrap().activations;
    let n = f32::NEG_INFINITY;
    let scores = [[0.0, n, n, n], [0.0, n, n, n], [0.0, n, 0.0, n], [0.0, n, 0.0, 0.0]];
    assert_eq!(found[0].values, vec![scores.concat(); heads].concat());
    let third = 1.0 / 3.0;
    let pattern = [
        [1.0, 0.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.5, 0.0],
        [third, 0.0, third, third],
    ];
    let expected: Vec<f32> = vec![pattern.concat(); heads].concat();
    assert!(furthest(&found[1].values, &expected) < 1e-6, "{:?}", found[1].values);
}

/// A row whose scores are all hidden has no largest one: it attends to nothing, on the device and in
/// the reference.
#[test]
fn a_row_that_sees_nothing_gets_nothing() {
    let (mut session, reference) = open(&folder().join("llama"), SessionOptions::default());
    let tokens = [5, 3, 8, 1];
    let hook = Hook::AttnScores(1);
    let hide = Edit { columns: Some(0..1), ..Edit::all(Change::Replace(vec![f32::NEG_INFINITY])) };
    let actions = [
        (hook, Action::Edit(Edit::all(Change::Zero))),
        (hook, Action::Edit(hide.clone())),
        (Hook::Pattern(1), Action::Read),
        (Hook::Z(1), Action::Read),
    ];
    let found = block_on(session.observe(&rows(&tokens, 0), &actions)).unwrap();
    let half = 0.5;
    let third = 1.0 / 3.0;
    let pattern = [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, half, half, 0.0],
        [0.0, third, third, third],
    ];
    let expected: Vec<f32> = vec![pattern.concat(); reference.config.heads].concat();
    assert!(furthest(&found.activations[0].values, &expected) < 1e-6, "{found:?}");
    assert!(found.activations[1].values[..reference.config.q_width()].iter().all(|z| *z == 0.0));

    let mut observer = Edited(hook, &hide);
    let expected = reference.forward(&mut reference.cache(), &tokens, &mut observer).unwrap();
    assert!(expected.iter().all(|logit| logit.is_finite()));
    let actions = [(hook, Action::Edit(hide.clone()))];
    let found = block_on(session.observe(&rows(&tokens, 0), &actions)).unwrap();
    assert!(error(&found.logits, &expected) <= 1e-4);
}

#[test]
fn an_edit_that_does_not_fit_is_an_error_that_names_its_value() {
    let (mut session, _) = open(&folder().join("gpt2"), SessionOptions::default());
    let hook = Hook::ResidPost(0);
    let part = |positions, columns| Edit { positions, columns, ..Edit::all(Change::Zero) };
    let unfit = [
        Edit::all(Change::Add(vec![1.0; 5])),
        Edit::all(Change::Replace(vec![f32::NEG_INFINITY; session.model().config.width])),
        Edit::all(Change::Scale(f32::NAN)),
        part(Some(1..9), None),
        part(None, Some(0..usize::MAX)),
        part(None, Some(3..3)),
        Edit { heads: Some(1..2), ..Edit::all(Change::Zero) },
        Edit::all(Change::Add(vec![1.0; 3 * session.model().config.width])),
    ];
    for edit in unfit {
        let actions = [(hook, Action::Edit(edit))];
        let error = block_on(session.observe(&rows(&[1, 2], 0), &actions)).unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error}");
        assert!(error.to_string().contains("blocks.0.hook_resid_post"), "{error}");
    }
}
