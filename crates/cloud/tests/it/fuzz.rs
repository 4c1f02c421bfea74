//! Arbitrary and mangled expressions about items: what the fuzz target looks for at length, looked for a moment in every run.

mod bodies;
#[path = "../../../../fuzz/smoke.rs"]
mod smoke;

const SEEDS: [&str; 6] = [
    "SET n = n + :one, m.x = if_not_exists(m.x, :s) REMOVE l[0]\nattribute_exists(pk) AND n < :one\nm.in, l[1].x",
    "ADD n :one\nNOT (n BETWEEN :one AND :one OR #n IN (:one))\nn",
    "DELETE ss :set\ncontains(ss, :s) OR begins_with(pk, :s)\nss, pk",
    "SET l = list_append(l, :l)\nsize(l) >= :one\nl[0], l[1]",
    "SET l[7] = :s, m.in = l[1].x\nattribute_type(n, :s)\n#n",
    "REMOVE n, m\n((n = :one)) and pk <> :s\npk",
];

#[test]
fn no_text_is_too_odd_for_expressions() {
    smoke::smoke(bodies::expressions, &SEEDS.map(|seed| seed.as_bytes().to_vec()), 1_500);
}
