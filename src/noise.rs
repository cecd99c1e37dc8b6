//! The library's own random numbers: what data is drawn by, and what new models begin with.
//!
//! They are those that kernels make of the part `noise`, and their twin in
//! [`reference`](crate::reference::noise) is written out by itself, so that no kernel is judged by the
//! code that feeds it.

/// Where the two keys of a draw begin.
const STARTS: [u32; 2] = [0x9e37_79b9, 0x7f4a_7c15];

/// 32 random bits that depend on nothing but these numbers, on every machine.
///
/// The words of the draw (the seed's low half, its high half, sequence, step) are folded into two keys,
/// with which the id is then scrambled in turn.
pub fn noise(seed: u64, sequence: u32, step: u32, id: u32) -> u32 {
    let mut keys = STARTS;
    for word in [seed as u32, (seed >> 32) as u32, sequence, step] {
        keys = keys.map(|key| scramble(key ^ word));
    }
    scramble(scramble(id ^ keys[0]) ^ keys[1])
}

/// `lowbias32` by Chris Wellons (public domain): every input bit flips every output bit about half the
/// time.
fn scramble(bits: u32) -> u32 {
    let once = (bits ^ (bits >> 16)).wrapping_mul(0x7feb_352d);
    let twice = (once ^ (once >> 15)).wrapping_mul(0x846c_a68b);
    twice ^ (twice >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        // From the same words in another language.
        assert_eq!(noise(0, 0, 0, 0), 0xb1ec_1014);
        assert_eq!(noise(1, 2, 3, 4), 0x7ce7_4f34);
        assert_eq!(noise(u64::MAX, 7, 1000, 50_256), 0x446d_e4d0);
    }
}
