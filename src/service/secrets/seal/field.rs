//! The field of 256 elements of AES (FIPS 197, 4: polynomials modulo x^8 + x^4 + x^3 + x + 1), in constant time: no table and
//! no branch depends on an element. Addition is exclusive or.
//!
//! Knows nothing of shares.

use subtle::{Choice, ConditionallySelectable as _};

/// What x^8 is.
const REDUCTION: u8 = 0x1B;

/// The product of two elements.
pub(super) fn multiply(one: u8, other: u8) -> u8 {
    let mut product = 0;
    let mut shifted = one;
    for bit in 0..u8::BITS {
        product ^= u8::conditional_select(&0, &shifted, Choice::from((other >> bit) & 1));
        let reduction = u8::conditional_select(&0, &REDUCTION, Choice::from(shifted >> 7));
        shifted = (shifted << 1) ^ reduction;
    }
    product
}

/// What `element` is to be multiplied with for 1: its 254th power. 0 of 0.
pub(super) fn inverse(element: u8) -> u8 {
    // 254 is all bits but the lowest: the product of the squares from the 2nd to the 128th power.
    let mut power = element;
    let mut product = 1;
    for _ in 1..u8::BITS {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

/// The value at `point` of the polynomial with these coefficients, the constant one first.
pub(super) fn evaluate<'coefficient>(
    coefficients: impl DoubleEndedIterator<Item = &'coefficient u8>,
    point: u8,
) -> u8 {
    coefficients
        .rev()
        .fold(0, |value, coefficient| multiply(value, point) ^ coefficient)
}

/// What the value at `points[number]` counts for in the value at 0 of the polynomial through all of `points`, which differ.
pub(super) fn weight_at_zero(points: &[u8], number: usize) -> u8 {
    let own = points.get(number).copied().unwrap_or_default();
    let others = points.iter().enumerate().filter(|(other, _)| *other != number);
    others.fold(1, |weight, (_, point)| {
        multiply(weight, multiply(*point, inverse(*point ^ own)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication as it is taught: the long product, then the remainder.
    fn slow_multiply(one: u8, other: u8) -> u8 {
        let mut product = 0_u32;
        for bit in 0..8 {
            if other >> bit & 1 == 1 {
                product ^= u32::from(one) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product >> bit & 1 == 1 {
                product ^= 0x11B << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn products_are_those_of_the_standard() {
        // FIPS 197, 4.2 and 4.2.1.
        assert_eq!(multiply(0x57, 0x83), 0xC1);
        assert_eq!(multiply(0x57, 0x13), 0xFE);
        for (factor, product) in [(0x02, 0xAE), (0x04, 0x47), (0x08, 0x8E), (0x10, 0x07)] {
            assert_eq!(multiply(0x57, factor), product);
        }
        assert_eq!(inverse(0x53), 0xCA);
    }

    #[test]
    fn every_product_is_that_of_the_slow_way() {
        for one in 0..=255 {
            for other in 0..=255 {
                assert_eq!(multiply(one, other), slow_multiply(one, other), "{one} {other}");
            }
        }
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        assert_eq!(inverse(0), 0);
        for element in 1..=255 {
            assert_eq!(multiply(element, inverse(element)), 1, "{element}");
        }
    }

    #[test]
    fn a_polynomial_is_found_again_by_its_values() {
        // 7 + 9x + 200x²
        let coefficients = [7, 9, 200];
        let points = [3, 77, 255];
        let value = |point| evaluate(coefficients.iter(), point);
        let found = (0..3).fold(0, |sum, number| {
            sum ^ multiply(weight_at_zero(&points, number), value(points[number]))
        });
        assert_eq!((found, value(0)), (7, 7));
        assert_eq!(value(1), 7 ^ 9 ^ 200);
    }

    /// "Threshold Secret Sharing" (draft-mcgrew-tss-03, 9.1), over the same field.
    #[test]
    fn the_published_shares_give_the_published_secret() {
        let first = [0xB9, 0xFA, 0x07, 0xE1, 0x85];
        let second = [0xF5, 0x40, 0x9B, 0x45, 0x11];
        let weights = [0, 1].map(|number| weight_at_zero(&[1, 2], number));
        let secret: Vec<u8> = first
            .iter()
            .zip(second)
            .map(|(one, other)| multiply(*one, weights[0]) ^ multiply(other, weights[1]))
            .collect();
        assert_eq!(secret, b"test\0");
    }
}
