//! Directions between two kinds of texts, for steering.

use std::io::Write;
use std::path::Path;

use crate::atomic_file::AtomicFile;
use crate::error::{Error, Result};
use crate::generate::Llm;
use crate::hook::Hook;

/// How a direction is made from what layers give after the last token of each text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The mean of the positive texts less that of the negative ones.
    Mean,
    /// The first principal component of the differences of pairs, as long as their mean along it.
    Pca,
}

/// The direction of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// The layer; the direction belongs to what it gives.
    pub layer: usize,
    /// The direction, (C).
    pub values: Vec<f32>,
    /// Its length.
    pub norm: f64,
    /// How well it tells texts apart that it was not made from: the probability that a positive one
    /// lies further along it than a negative one (AUC). `None` if none were held out.
    pub separation: Option<f64>,
}

/// Makes a direction for every layer but the first, in which llama.cpp's format has none. A tenth of
/// the texts, every tenth one, is held out to measure the separation.
///
/// # Errors
/// As [`Llm::observe_last`]; [`Error::Input`] for no text on one side, and for pairs that do not match.
pub async fn directions(
    llm: &mut Llm,
    positive: &[Vec<u32>],
    negative: &[Vec<u32>],
    method: Method,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Direction>> {
    if positive.is_empty() || negative.is_empty() {
        return Err(Error::Input("a direction needs both positive and negative texts".to_owned()));
    }
    if method == Method::Pca && positive.len() != negative.len() {
        return Err(Error::Input(format!(
            "principal components need pairs, but there are {} positive and {} negative texts",
            positive.len(),
            negative.len()
        )));
    }
    let hooks: Vec<Hook> = (1..llm.config().layers).map(Hook::ResidPost).collect();
    if hooks.is_empty() {
        return Err(Error::Input(
            "a model of one layer has no direction in this format".to_owned(),
        ));
    }
    let total = positive.len() + negative.len();
    let mut done = 0;
    let mut sides = Vec::with_capacity(2);
    for texts in [positive, negative] {
        // For each layer, a row of each text.
        let mut layers = vec![Vec::new(); hooks.len()];
        for tokens in texts {
            let seen = llm.observe_last(tokens, &[], &hooks).await?.activations;
            for (rows, activation) in layers.iter_mut().zip(seen) {
                rows.push(activation.values);
            }
            done += 1;
            progress(done, total);
        }
        sides.push(layers);
    }
    let made = (0..hooks.len()).map(|at| {
        let (positive, negative) = (&sides[0][at], &sides[1][at]);
        let (made_from, held_out) = (split(positive), split(negative));
        let values = match method {
            Method::Mean => difference(&mean(&made_from.0), &mean(&held_out.0)),
            Method::Pca => principal(&made_from.0, &held_out.0),
        };
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let separation = separation(&values, &made_from.1, &held_out.1);
        let values = values.into_iter().map(|x| x as f32).collect();
        Direction { layer: at + 1, values, norm, separation }
    });
    Ok(made.collect())
}

type Rows<'a> = Vec<&'a Vec<f32>>;

/// The rows that a direction is made from, and every tenth, which is held out.
fn split(rows: &[Vec<f32>]) -> (Rows<'_>, Rows<'_>) {
    let (held_out, made_from): (Vec<_>, Vec<_>) =
        rows.iter().enumerate().partition(|(at, _)| at % 10 == 9);
    let rows = |pairs: Vec<(usize, _)>| pairs.into_iter().map(|(_, row)| row).collect();
    (rows(made_from), rows(held_out))
}

fn mean(rows: &Rows<'_>) -> Vec<f64> {
    let mut sum = vec![0.0; rows[0].len()];
    for row in rows {
        sum.iter_mut().zip(*row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sum.iter_mut().for_each(|sum| *sum /= rows.len() as f64);
    sum
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The direction along which the differences of pairs are largest (power iteration on Σ d dᵀ), with the
/// sign and the length of their mean along it.
fn principal(positive: &Rows<'_>, negative: &Rows<'_>) -> Vec<f64> {
    let wide = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let pairs = positive.iter().zip(negative);
    let differences: Vec<Vec<f64>> = pairs.map(|(p, n)| difference(&wide(p), &wide(n))).collect();
    let mut mean = vec![0.0; differences[0].len()];
    for row in &differences {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / differences.len() as f64);
    }
    let unit = |mut v: Vec<f64>| {
        let norm = dot(&v, &v).sqrt();
        if norm > 0.0 {
            v.iter_mut().for_each(|x| *x /= norm);
        }
        v
    };
    let mut direction = unit(mean.clone());
    for _ in 0..200 {
        let mut next = vec![0.0; direction.len()];
        for row in &differences {
            let along = dot(row, &direction);
            next.iter_mut().zip(row).for_each(|(sum, x)| *sum += along * x);
        }
        let next = unit(next);
        let moved = 1.0 - dot(&next, &direction).abs();
        direction = next;
        if moved < 1e-12 {
            break;
        }
    }
    let length = dot(&mean, &direction);
    direction.into_iter().map(|x| x * length).collect()
}

/// The share of pairs of a positive and a negative row in which the positive one lies further along;
/// equal ones count half.
fn separation(direction: &[f64], positive: &Rows<'_>, negative: &Rows<'_>) -> Option<f64> {
    let along =
        |row: &&Vec<f32>| row.iter().zip(direction).map(|(x, d)| f64::from(*x) * d).sum::<f64>();
    let (positive, negative): (Vec<f64>, Vec<f64>) =
        (positive.iter().map(along).collect(), negative.iter().map(along).collect());
    let pairs = positive.len() * negative.len();
    let won: f64 = positive
        .iter()
        .flat_map(|p| {
            negative
                .iter()
                .map(move |n| f64::from(u8::from(p > n)) + 0.5 * f64::from(u8::from(p == n)))
        })
        .sum();
    (pairs > 0).then(|| won / pairs as f64)
}

/// Writes directions as a GGUF `controlvector`, which llama.cpp reads too.
///
/// # Errors
/// [`Error::Io`] for the file.
pub fn write_directions(path: &Path, architecture: &str, directions: &[Direction]) -> Result<()> {
    let io = |error| Error::io(path, error);
    let (atomic, mut file) = AtomicFile::create(path).map_err(io)?;
    file.write_all(&control_vector(architecture, directions)).map_err(io)?;
    atomic.finish(&file).map_err(io)
}

/// The bytes of such a file: header, metadata, the places of the tensors, the tensors.
fn control_vector(architecture: &str, directions: &[Direction]) -> Vec<u8> {
    const TEXT: u32 = 8;
    const INTEGER: u32 = 5;
    const F32: u32 = 0;
    const ALIGNMENT: usize = 32;
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    out.extend(b"GGUF");
    out.extend(3_u32.to_le_bytes());
    out.extend((directions.len() as u64).to_le_bytes());
    out.extend(3_u64.to_le_bytes());
    for (key, value) in
        [("general.architecture", "controlvector"), ("controlvector.model_hint", architecture)]
    {
        text(&mut out, key);
        out.extend(TEXT.to_le_bytes());
        text(&mut out, value);
    }
    text(&mut out, "controlvector.layer_count");
    out.extend(INTEGER.to_le_bytes());
    out.extend((directions.len() as u32).to_le_bytes());
    let mut offset = 0;
    for direction in directions {
        text(&mut out, &format!("direction.{}", direction.layer));
        out.extend(1_u32.to_le_bytes());
        out.extend((direction.values.len() as u64).to_le_bytes());
        out.extend(F32.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += (4 * direction.values.len()).next_multiple_of(ALIGNMENT);
    }
    for direction in directions {
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(direction.values.iter().flat_map(|x| x.to_le_bytes()));
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::TensorFile;

    #[test]
    fn directions_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("direction.gguf");
        let of = |layer, values: Vec<f32>| Direction { layer, values, norm: 1.0, separation: None };
        let directions = [of(1, vec![0.5, -1.0, 2.0]), of(2, vec![3.0, 4.0, 5.0])];
        write_directions(&path, "llama", &directions).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.names(), ["direction.1", "direction.2"]);
        assert_eq!(file.text("controlvector.model_hint"), Some("llama"));
        assert_eq!(file.tensor("direction.2").unwrap().values, [3.0, 4.0, 5.0]);
    }

    #[test]
    fn principal_components_point_where_pairs_differ_most() {
        let (a, b) = (vec![2.0, 0.1], vec![4.0, -0.1]);
        let zero = vec![0.0, 0.0];
        let found = principal(&vec![&a, &b], &vec![&zero, &zero]);
        assert!((found[0] - 3.0).abs() < 1e-2 && found[1].abs() < 0.1, "{found:?}");
        assert_eq!(separation(&found, &vec![&a, &b], &vec![&zero]), Some(1.0));
        assert_eq!(separation(&found, &vec![&zero], &vec![&zero]), Some(0.5));
        assert_eq!(separation(&found, &Vec::new(), &vec![&zero]), None);
    }
}
