//! Every instruction set's operations against what they say, at the ends of their ranges too.

use crate::bf16::to_bf16;
use crate::f16::{from_f16, to_f16};
use crate::simd::{self, Kernel, Simd};
use crate::testing::{for_each_isa, random};

/// Lanes at most, of any instruction set.
const MOST: usize = 16;

/// Runs a kernel of vectors on each instruction set.
macro_rules! vectors {
    (|$s:ident: $simd:ident, $input:ident: $type:ty| -> $output:ty $body:block) => {{
        struct Work<'a>($type, std::marker::PhantomData<&'a ()>);
        impl Kernel for Work<'_> {
            type Output = $output;
            #[inline(always)]
            fn run<$simd: Simd>(self, $s: $simd) -> $output {
                let $input = self.0;
                $body
            }
        }
        |isa, input| simd::vectorize(isa, Work(input, std::marker::PhantomData))
    }};
}

/// Numbers of all sizes that are no subnormals, the ends of the range among them, ties of bfloat16, and what is no
/// number.
fn numbers() -> Vec<f32> {
    let ends = [
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    let ties = (0x0080..0x7f7f_u32).step_by(97);
    let ties = ties.map(|upper| f32::from_bits(upper << 16 | 0x8000));
    let near = ties
        .clone()
        .flat_map(|tie| [tie.next_down(), tie.next_up()]);
    let spread = random(1, 2048).into_iter().enumerate();
    let spread = spread.map(|(at, x)| x * 2.0_f32.powi(at as i32 % 240 - 120));
    let all = ends.into_iter().chain(ties).chain(near).chain(spread);
    let mut all: Vec<f32> = all.filter(|number| !number.is_subnormal()).collect();
    all.resize(all.len().next_multiple_of(2 * MOST), 1.0);
    all
}

#[track_caller]
fn assert_same_halves(found: u16, expected: u16, is_nan: bool, of: f32) {
    if is_nan {
        assert_ne!(found & 0x7f, 0, "{of} became {found:04x}");
    } else {
        assert_eq!(found, expected, "{of}");
    }
}

#[test]
fn bfloat16_is_rounded_as_one_by_one() {
    let narrow = vectors!(|s: S, x: Vec<f32>| -> (Vec<u32>, Vec<u32>) {
        let (mut narrow, mut interleaved) = (vec![0; x.len() / 2], vec![0; x.len() / 2]);
        for at in (0..x.len()).step_by(2 * S::LANES) {
            // SAFETY: two vectors of the numbers, and the words they make.
            unsafe {
                let (low, high) = (
                    s.load(x[at..].as_ptr()),
                    s.load(x[at + S::LANES..].as_ptr()),
                );
                s.store_words(narrow[at / 2..].as_mut_ptr(), s.narrow(low, high));
                s.store_words(interleaved[at / 2..].as_mut_ptr(), s.interleave(low, high));
            }
        }
        // Back to where the numbers stood.
        let places = interleaved.chunks_exact(S::LANES).flat_map(|words| {
            let lower = words.iter().map(|word| word & 0xffff);
            lower
                .chain(words.iter().map(|word| word >> 16))
                .collect::<Vec<u32>>()
        });
        let interleaved = places.collect();
        (narrow, interleaved)
    });
    for_each_isa(|pool| {
        let numbers = numbers();
        let (words, apart) = narrow(pool.isa(), numbers.clone());
        let halves = words
            .iter()
            .flat_map(|word| [*word as u16, (word >> 16) as u16]);
        let halves: Vec<u16> = halves.collect();
        assert_eq!((halves.len(), apart.len()), (numbers.len(), numbers.len()));
        for ((number, half), apart) in numbers.iter().zip(halves).zip(apart) {
            assert_same_halves(half, to_bf16(*number), number.is_nan(), *number);
            assert_same_halves(apart as u16, to_bf16(*number), number.is_nan(), *number);
        }
    });
}

#[test]
fn half_precision_is_read_and_rounded_as_one_by_one() {
    let convert = vectors!(|s: S, x: (Vec<u16>, Vec<f32>)| -> (Vec<f32>, Vec<u16>) {
        let (halves, floats) = x;
        let (mut read, mut rounded) = (vec![0.0; halves.len()], vec![0; floats.len()]);
        for at in (0..halves.len()).step_by(S::LANES) {
            // SAFETY: whole vectors on both sides.
            unsafe {
                s.store(
                    read[at..].as_mut_ptr(),
                    s.load_halves(halves[at..].as_ptr()),
                )
            };
        }
        for at in (0..floats.len()).step_by(S::LANES) {
            // SAFETY: whole vectors on both sides.
            unsafe { s.store_halves(rounded[at..].as_mut_ptr(), s.load(floats[at..].as_ptr())) };
        }
        (read, rounded)
    });
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    // Every number there is, half way to the next one, and just beside that.
    let mut floats = Vec::new();
    for half in halves.iter().copied().filter(|half| half & 0x7fff < 0x7c00) {
        let (number, next) = (from_f16(half), from_f16(half + 1));
        let next = if next.is_finite() {
            next
        } else {
            65_536.0_f32.copysign(number)
        };
        let middle = f32::midpoint(number, next);
        floats.extend([number, middle, middle.next_down(), middle.next_up()]);
    }
    floats.extend(numbers());
    for_each_isa(|pool| {
        let (read, rounded) = convert(pool.isa(), (halves.clone(), floats.clone()));
        for (half, read) in halves.iter().zip(read) {
            let expected = from_f16(*half);
            let same = read.to_bits() == expected.to_bits();
            assert!(
                same || read.is_nan() && expected.is_nan(),
                "{half:04x}: {read}"
            );
        }
        for (float, rounded) in floats.iter().zip(rounded) {
            if float.is_nan() {
                assert!(from_f16(rounded).is_nan());
            } else {
                assert_eq!(rounded, to_f16(*float), "{float}");
            }
        }
    });
}

#[test]
fn bytes_are_multiplied_without_loss() {
    let dot = vectors!(|s: S, x: [Vec<u32>; 3]| -> Vec<u32> {
        let [acc, w, x] = x;
        let mut out = vec![0; acc.len()];
        for at in (0..out.len()).step_by(S::LANES) {
            // SAFETY: whole vectors of each.
            unsafe {
                let [acc, w, x] = [&acc, &w, &x].map(|of| s.load_words(of[at..].as_ptr()));
                s.store_words(out[at..].as_mut_ptr(), s.dot_bytes(acc, w, x));
            }
        }
        out
    });
    let ends = [0_u32, 1, 127, 128, 129, 254, 255];
    let (mut w, mut x) = (Vec::new(), Vec::new());
    for (a, b) in ends.iter().flat_map(|a| ends.map(|b| (*a, b))) {
        for (c, d) in ends.iter().flat_map(|c| ends.map(|d| (*c, d))) {
            w.push(a | b << 8 | a << 16 | b << 24);
            x.push(c | d << 8 | d << 16 | c << 24);
        }
    }
    w.resize(w.len().next_multiple_of(MOST), 0);
    x.resize(w.len(), 0);
    let acc: Vec<u32> = (0..w.len() as u32)
        .map(|at| at.wrapping_mul(123_457))
        .collect();
    let product = |acc: u32, w: u32, x: u32| {
        let bytes = w.to_le_bytes().into_iter().zip(x.to_le_bytes());
        let products = bytes.map(|(w, x)| i32::from(w) * i32::from(x as i8));
        acc.wrapping_add(products.sum::<i32>() as u32)
    };
    let all = acc.iter().zip(w.iter().zip(&x));
    let expected: Vec<u32> = all.map(|(acc, (w, x))| product(*acc, *w, *x)).collect();
    for_each_isa(|pool| {
        let found = dot(pool.isa(), [acc.clone(), w.clone(), x.clone()]);
        assert!(found == expected, "{}", pool.isa());
    });
}

#[test]
fn whole_numbers_become_bytes_and_nibbles_come_apart() {
    let convert = vectors!(
        |s: S, _x: ()| -> (Vec<i8>, Vec<u32>, Vec<[u32; 5]>, Vec<f32>) {
            let lane: Vec<f32> = (0..256).map(|at| at as f32).collect();
            let (mut bytes, mut words) = (vec![0; 256], vec![0; 256]);
            let (mut nibbles, mut floats) = (vec![[0; 5]; 256], vec![0.0; 256]);
            for at in (0..256).step_by(S::LANES) {
                let mut parts = [[0_u32; MOST]; 5];
                // SAFETY: whole vectors of each, and of the parts.
                unsafe {
                    let value = s.load(lane[at..].as_ptr());
                    s.store_bytes(bytes[at..].as_mut_ptr(), s.sub(value, s.splat(128.0)));
                    let other = s.sub(s.splat(255.0), value);
                    let side_by_side = s.bytes_side_by_side([value, other, other, value]);
                    s.store_words(words[at..].as_mut_ptr(), side_by_side);
                    let (low, high) = (s.low_nibbles(side_by_side), s.high_nibbles(side_by_side));
                    let above = s.low_nibbles_above(side_by_side);
                    let kept = s.high_nibbles_above(side_by_side);
                    let all = [low, high, above, kept, s.or(low, kept)];
                    for (part, words) in parts.iter_mut().zip(all) {
                        s.store_words(part.as_mut_ptr(), words);
                    }
                    s.store(
                        floats[at..].as_mut_ptr(),
                        s.integers_as_floats(side_by_side),
                    );
                }
                for lane in 0..S::LANES {
                    nibbles[at + lane] = parts.map(|part| part[lane]);
                }
            }
            (bytes, words, nibbles, floats)
        }
    );
    for_each_isa(|pool| {
        let (bytes, words, nibbles, floats) = convert(pool.isa(), ());
        for value in 0..256 {
            assert_eq!(i32::from(bytes[value]), value as i32 - 128);
            let (word, other) = (value as u32, 255 - value as u32);
            let word = word | other << 8 | other << 16 | word << 24;
            assert_eq!(words[value], word);
            let (low, high) = (word & 0x0f0f_0f0f, word >> 4 & 0x0f0f_0f0f);
            let kept = word & 0xf0f0_f0f0;
            assert_eq!(nibbles[value], [low, high, low << 4, kept, word]);
            assert_eq!(floats[value], word as i32 as f32);
        }
    });
}

#[test]
fn a_transposed_square_has_its_columns_as_rows() {
    const APART: usize = MOST + 3;
    const STRIDE: usize = MOST + 5;
    let transpose = vectors!(|s: S, from: Vec<u32>| -> (usize, Vec<u32>) {
        let mut to = vec![0; STRIDE * MOST];
        // SAFETY: `MOST` rows of as many words lie on both sides.
        unsafe { s.transpose_words((from.as_ptr(), APART), (to.as_mut_ptr(), STRIDE)) };
        (S::LANES, to)
    });
    let from: Vec<u32> = (1..=(APART * MOST) as u32).collect();
    for_each_isa(|pool| {
        let (lanes, to) = transpose(pool.isa(), from.clone());
        for (at, word) in to.iter().enumerate() {
            let (row, column) = (at / STRIDE, at % STRIDE);
            let inside = row < lanes && column < lanes;
            let expected = if inside {
                from[column * APART + row]
            } else {
                0
            };
            assert_eq!(*word, expected, "row {row}, column {column}");
        }
    });
}

#[test]
fn of_two_the_second_where_one_is_no_number() {
    let choose = vectors!(|s: S, pair: (f32, f32)| -> [f32; 3] {
        let (a, b) = (s.splat(pair.0), s.splat(pair.1));
        let of = |value| s.max_lanes(value);
        // A lane that is no number is read as it is.
        let lane = |value| {
            let mut lanes = [0.0; MOST];
            // SAFETY: there is room for a vector.
            unsafe { s.store(lanes.as_mut_ptr(), value) };
            lanes[0]
        };
        [
            lane(s.max(a, b)),
            lane(s.min(a, b)),
            of(s.select_less(a, b, s.splat(1.0), s.splat(2.0))),
        ]
    });
    for_each_isa(|pool| {
        let of = |a, b| choose(pool.isa(), (a, b));
        assert_eq!(of(1.0, 2.0), [2.0, 1.0, 1.0]);
        assert_eq!(of(2.0, 1.0), [2.0, 1.0, 2.0]);
        assert_eq!(of(f32::NAN, 1.0), [1.0, 1.0, 2.0]);
        let [max, min, less] = of(1.0, f32::NAN);
        assert!(max.is_nan() && min.is_nan() && less == 2.0);
        assert_eq!(
            of(f32::NEG_INFINITY, f32::INFINITY),
            [f32::INFINITY, f32::NEG_INFINITY, 1.0]
        );
    });
}

#[test]
fn powers_of_two_are_exact_at_both_ends() {
    let times = vectors!(|s: S, n: i16| -> f32 {
        s.max_lanes(s.times_pow2(s.splat(1.5), s.splat(f32::from(n))))
    });
    for_each_isa(|pool| {
        for n in -126..=127 {
            assert_eq!(
                times(pool.isa(), n),
                1.5 * 2.0_f32.powi(i32::from(n)),
                "{n}"
            );
        }
    });
}
