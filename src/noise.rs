//! The library's random numbers, which draw training data and initial weights.
//!
//! They are those of the WGSL part `noise`. Its twin in [`reference`](crate::reference::noise) is a
//! separate implementation, so that no kernel is tested by the code that feeds it.

/// The initial values of the two keys of a draw.
const STARTS: [u32; 2] = [0x9e37_79b9, 0x7f4a_7c15];

/// 32 random bits that depend only on these numbers, on every machine.
///
/// The words of the draw (low half of the seed, high half, sequence, step) are hashed into two
/// keys, and the id is hashed with each key in turn.
pub fn noise(seed: u64, sequence: u32, step: u32, id: u32) -> u32 {
    let mut keys = STARTS;
    for word in [seed as u32, (seed >> 32) as u32, sequence, step] {
        keys = keys.map(|key| scramble(key ^ word));
    }
    scramble(scramble(id ^ keys[0]) ^ keys[1])
}

/// `lowbias32` by Chris Wellons (public domain): every input bit flips every output bit about half
/// the time.
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
        // From an implementation of the same function in another language.
        assert_eq!(noise(0, 0, 0, 0), 0xb1ec_1014);
        assert_eq!(noise(1, 2, 3, 4), 0x7ce7_4f34);
        assert_eq!(noise(u64::MAX, 7, 1000, 50_256), 0x446d_e4d0);
    }
}
