// SPDX-License-Identifier: MPL-2.0
//! Numbers from the bytes of an input.

/// What is left of an input; zeros when it is used up.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let length = N.min(self.0.len());
        bytes[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        bytes
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    pub(crate) fn long(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    /// Any number, or a fraction with an exact form, or one close to an edge.
    pub(crate) fn number(&mut self) -> f64 {
        match self.byte() % 4 {
            0 => f64::from_bits(self.long()),
            1 => f64::from(self.short()) / 65_535.0,
            2 => f64::from(self.byte()) / 256.0,
            _ => [0.0, 1.0, -0.0, 5e-324, 1e-17, 1.0 - f64::EPSILON, 0.5, 1e300][usize::from(self.byte() % 8)],
        }
    }
}
