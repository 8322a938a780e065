//! Sequence numbers. A packet carries 16 bits; here they are 64, so that they never wrap and comparisons
//! mean what they say.

/// Where counting begins for a number that the other side chose: high enough that nothing before it is negative.
const FIRST: u64 = 1 << 16;

/// The number that stands for the first one on the wire.
pub fn begin(wire: u16) -> u64 {
    FIRST | u64::from(wire)
}

/// The number nearest to `near` whose low 16 bits are `wire`.
pub fn expand(near: u64, wire: u16) -> u64 {
    let distance = wire.wrapping_sub(near as u16) as i16;
    near.saturating_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_as_the_nearest_to_what_is_expected() {
        let near = begin(65_530);
        assert_eq!(expand(near, 65_530), near);
        assert_eq!(expand(near, 3), near + 9);
        assert_eq!(expand(near + 9, 65_530), near);
        assert_eq!(expand(near, 65_530u16.wrapping_add(0x7fff)), near + 0x7fff);
        assert_eq!(expand(near, 65_530u16.wrapping_add(0x8001)), near - 0x7fff);
        for distance in 0..200_000u64 {
            let number = begin(1) + distance;
            assert_eq!(expand(number.saturating_sub(30_000).max(FIRST), number as u16), number);
        }
    }
}
