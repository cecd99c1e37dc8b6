//! The random numbers of sampling and dropout: twin of the WGSL part `noise`.

/// Standard Gumbel noise from 32 random bits: g = −ln(−ln u), u = ((bits >> 8) | 1) / 2²⁴.
///
/// u is an odd number of 24 bits over 2²⁴, so it is exact in f32 and never 0 or 1. A shader should
/// compute −ln u near 1 by a series in 1 − u, which is exact too: WGSL's `log` may be off by 2⁻²¹
/// there, and these values decide which token wins.
pub fn gumbel(bits: u32) -> f64 {
    let u = f64::from((bits >> 8) | 1) / f64::from(1 << 24);
    -(-u.ln()).ln()
}

/// 32 random bits that depend only on these numbers.
///
/// Two keys are folded from the words (low half of the seed, high half, sequence, step) by
/// h ← mix(h ^ word), from two fixed starts; the result is mix(mix(id ^ key 0) ^ key 1). Two keys
/// make 64 bits, so that no two draws of a long run have the same noise by chance.
pub fn noise(seed: u64, sequence: u32, step: u32, id: u32) -> u32 {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = seed.to_le_bytes();
    let low = u32::from_le_bytes([s0, s1, s2, s3]);
    let high = u32::from_le_bytes([s4, s5, s6, s7]);
    let key = |start: u32| [low, high, sequence, step].iter().fold(start, |h, word| mix(h ^ word));
    mix(mix(id ^ key(0x9e37_79b9)) ^ key(0x7f4a_7c15))
}

/// A bijection of u32 in which every input bit flips every output bit about half the time.
///
/// Source: the constants are Chris Wellons's `lowbias32` (public domain).
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::chi_square;

    /// How uniform the top bytes of the numbers are, in standard deviations from the expected χ².
    fn evenness(numbers: impl Iterator<Item = u32>) -> f64 {
        let mut seen = [0; 256];
        let mut count = 0.0;
        for number in numbers {
            seen[number as usize >> 24] += 1;
            count += 1.0;
        }
        chi_square(&seen, &[count / 256.0; 256])
    }

    #[test]
    fn noise_is_the_documented_function() {
        // From an implementation of the same function in another language.
        assert_eq!(noise(0, 0, 0, 0), 0xb1ec_1014);
        assert_eq!(noise(1, 2, 3, 4), 0x7ce7_4f34);
        assert_eq!(noise(u64::MAX, 7, 1000, 50_256), 0x446d_e4d0);
    }

    /// The library has the same numbers from a separate implementation.
    #[test]
    fn the_library_has_the_same_numbers() {
        for i in 0..10_000 {
            let (seed, sequence) = (u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15), i % 7);
            let own = noise(seed, sequence, i / 3, i * i);
            assert_eq!(own, crate::noise::noise(seed, sequence, i / 3, i * i), "{i}");
        }
    }

    #[test]
    fn noise_is_uniform_along_each_of_its_numbers() {
        for at in [0, 1, 2, 77, 50_256] {
            assert!(evenness((0..1 << 17).map(|id| noise(5, 0, at, id))).abs() < 4.0);
            assert!(evenness((0..1 << 17).map(|step| noise(5, 0, step, at))).abs() < 4.0);
            assert!(evenness((0..1 << 17).map(|seq| noise(5, seq, at, 9))).abs() < 4.0);
            let seeds = |shift: u32| (0..1_u64 << 17).map(move |seed| seed << shift);
            assert!(evenness(seeds(0).map(|seed| noise(seed, 0, at, 9))).abs() < 4.0);
            assert!(evenness(seeds(32).map(|seed| noise(seed, 0, at, 9))).abs() < 4.0);
        }
    }

    #[test]
    fn neighboring_noise_is_uncorrelated() {
        // The xor of related numbers is as uniform as the numbers.
        let related: [fn(u32) -> u32; 3] = [
            |i| noise(1, 0, 0, i) ^ noise(1, 0, 1, i),
            |i| noise(1, 0, 7, i) ^ noise(1, 1, 7, i),
            |i| noise(1, 0, i, 7) ^ noise(1, 0, i, 8),
        ];
        for xor in related {
            assert!(evenness((0..1 << 17).map(xor)).abs() < 4.0);
            assert!(evenness((0..1 << 17).map(|i| xor(i) << 20)).abs() < 4.0);
        }
        assert!(evenness((0..1 << 17).map(|i| noise(1, 0, 0, i) << 16)).abs() < 4.0);
    }

    #[test]
    fn gumbel_stays_finite_and_its_u_fits_f32() {
        for bits in [0, 255, 256, 1 << 31, u32::MAX - 256, u32::MAX] {
            assert!(gumbel(bits).is_finite());
            let u = f64::from((bits >> 8) | 1) / f64::from(1 << 24);
            assert_eq!(f64::from(u as f32), u);
        }
        assert!(gumbel(0) < gumbel(1 << 31) && gumbel(1 << 31) < gumbel(u32::MAX));
    }
}
