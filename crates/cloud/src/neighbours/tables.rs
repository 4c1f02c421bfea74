//! Tables: DynamoDB's API over our store. This file is the noun itself, and its folder holds what items are made of.
#![allow(dead_code)]

pub(crate) mod attribute;
pub(crate) mod expression;
pub(crate) mod number;
pub(crate) mod path;
