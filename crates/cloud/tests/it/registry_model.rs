//! The registry beside a model of it, by seed: whatever is made, moved and taken away, all listings say the same from both
//! sides, and what is refused changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::house::{Lab, column};
use crate::seeds::Dice;

const GROUPS: [&str; 6] = ["g0", "g1", "g2", "g3", "g4", "g5"];
const THINGS: [&str; 4] = ["t0", "t1", "t2", "t3"];
const TYPES: [&str; 2] = ["y0", "y1"];
const BILLS: [&str; 2] = ["b0", "b1"];

#[derive(Clone, Debug, Default, PartialEq)]
struct Thing {
    groups: BTreeSet<&'static str>,
    type_: Option<&'static str>,
    bill: Option<&'static str>,
}

/// What there should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// With the parent of each.
    groups: BTreeMap<&'static str, Option<&'static str>>,
    things: BTreeMap<&'static str, Thing>,
    bills: BTreeSet<&'static str>,
}

/// What is done, and the request that does it.
type Step = (&'static str, Value);

impl Model {
    /// From the root down to a group.
    fn path(&self, group: &'static str) -> Vec<&'static str> {
        let above = self.groups[group].map(|parent| self.path(parent)).unwrap_or_default();
        above.into_iter().chain([group]).collect()
    }

    fn below(&self, group: &'static str) -> BTreeSet<&'static str> {
        self.groups.keys().copied().filter(|name| *name != group && self.path(name).contains(&group)).collect()
    }

    fn members(&self, groups: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
        let is_in = |thing: &Thing| !thing.groups.is_disjoint(groups);
        self.things.iter().filter(|(_, thing)| is_in(thing)).map(|(name, _)| *name).collect()
    }

    /// Whether a thing may come into a group beside those it is in.
    fn fits(&self, groups: &BTreeSet<&'static str>, group: &'static str) -> bool {
        groups.contains(group) || groups.iter().all(|other| self.path(other)[0] != self.path(group)[0])
    }

    /// One step, done to the model if it can be: the request, and whether it should succeed.
    fn step(&mut self, dice: &mut Dice) -> (Step, bool) {
        let (group, thing, bill) = (dice.pick(&GROUPS), dice.pick(&THINGS), dice.pick(&BILLS));
        match dice.roll(9) {
            0 => self.create_group(group, dice.pick(&GROUPS), dice.one_in(2)),
            1 => {
                let can = self.below(group).is_empty();
                if can && self.groups.remove(group).is_some() {
                    for thing in self.things.values_mut() {
                        thing.groups.remove(group);
                    }
                }
                (("DeleteThingGroup", json!({"thingGroupName": group})), can)
            }
            2 => self.create_thing(thing, dice),
            3 => {
                self.things.remove(thing);
                (("DeleteThing", json!({"thingName": thing})), true)
            }
            4 => {
                let can = self.groups.contains_key(group)
                    && self.things.get(thing).is_some_and(|thing| self.fits(&thing.groups, group));
                if can {
                    self.things.get_mut(thing).unwrap().groups.insert(group);
                }
                (("AddThingToThingGroup", json!({"thingName": thing, "thingGroupName": group})), can)
            }
            5 => self.change_groups(thing, group, dice.pick(&GROUPS)),
            6 => {
                let new = dice.one_in(2).then(|| dice.pick(&TYPES));
                let mut input = json!({"thingName": thing, "removeThingType": new.is_none()});
                if let Some(new) = new {
                    input["thingTypeName"] = json!(new);
                }
                let known = self.things.get_mut(thing);
                let can = known.is_some();
                if let Some(thing) = known {
                    thing.type_ = new;
                }
                (("UpdateThing", input), can)
            }
            7 => {
                let can = self.bills.contains(bill) && self.things.contains_key(thing);
                if can {
                    self.things.get_mut(thing).unwrap().bill = Some(bill);
                }
                (("AddThingToBillingGroup", json!({"thingName": thing, "billingGroupName": bill})), can)
            }
            _ if self.bills.remove(bill) => {
                self.things.values_mut().filter(|thing| thing.bill == Some(bill)).for_each(|thing| thing.bill = None);
                (("DeleteBillingGroup", json!({"billingGroupName": bill})), true)
            }
            _ => {
                self.bills.insert(bill);
                (("CreateBillingGroup", json!({"billingGroupName": bill})), true)
            }
        }
    }

    fn create_group(&mut self, group: &'static str, parent: &'static str, is_root: bool) -> (Step, bool) {
        let parent = (!is_root).then_some(parent);
        let mut input = json!({"thingGroupName": group});
        if let Some(parent) = parent {
            input["parentGroupName"] = json!(parent);
        }
        let can = match (self.groups.get(group), parent) {
            (Some(known), _) => *known == parent,
            (None, Some(parent)) => self.groups.contains_key(parent),
            (None, None) => true,
        };
        if can {
            self.groups.insert(group, parent);
        }
        (("CreateThingGroup", input), can)
    }

    fn create_thing(&mut self, thing: &'static str, dice: &mut Dice) -> (Step, bool) {
        let type_ = dice.one_in(2).then(|| dice.pick(&TYPES));
        let bill = dice.one_in(2).then(|| dice.pick(&BILLS));
        let mut input = json!({"thingName": thing});
        if let Some(type_) = type_ {
            input["thingTypeName"] = json!(type_);
        }
        if let Some(bill) = bill {
            input["billingGroupName"] = json!(bill);
        }
        let can = match self.things.get(thing) {
            Some(known) => (known.type_, known.bill) == (type_, bill),
            None => bill.is_none_or(|bill| self.bills.contains(bill)),
        };
        if can {
            let new = Thing { groups: BTreeSet::new(), type_, bill };
            self.things.entry(thing).or_insert(new);
        }
        (("CreateThing", input), can)
    }

    fn change_groups(&mut self, thing: &'static str, add: &'static str, remove: &'static str) -> (Step, bool) {
        let input = json!({"thingName": thing, "thingGroupsToAdd": [add], "thingGroupsToRemove": [remove]});
        let step = ("UpdateThingGroupsForThing", input);
        let exist = self.groups.contains_key(add) && self.groups.contains_key(remove);
        let Some(mut groups) = self.things.get(thing).map(|thing| thing.groups.clone()).filter(|_| exist) else {
            return (step, false);
        };
        groups.remove(remove);
        if !self.fits(&groups, add) {
            return (step, false);
        }
        groups.insert(add);
        self.things.get_mut(thing).unwrap().groups = groups;
        (step, true)
    }

    /// Asks the lab for everything, from both sides, in pages of two.
    fn check(&self, lab: &Lab) {
        let list = |operation: &str, input: Value, list: &str, name: &str| -> BTreeSet<String> {
            let mut input = input;
            input["maxResults"] = json!(2);
            let all = lab.pages(operation, input, list, ("nextToken", "nextToken")).concat();
            let names: Vec<String> = if name.is_empty() {
                all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
            } else {
                column(&Value::Array(all), name)
            };
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{operation} repeats {names:?}");
            names.into_iter().collect()
        };
        let all =
            |names: BTreeSet<&'static str>| -> BTreeSet<String> { names.into_iter().map(str::to_owned).collect() };
        let groups = |input: Value| list("ListThingGroups", input, "thingGroups", "groupName");
        assert_eq!(groups(json!({})), all(self.groups.keys().copied().collect()));
        for group in self.groups.keys().copied() {
            let children = self.groups.iter().filter(|(_, parent)| **parent == Some(group)).map(|(name, _)| *name);
            assert_eq!(groups(json!({"parentGroup": group})), all(self.below(group)));
            assert_eq!(groups(json!({"parentGroup": group, "recursive": false})), all(children.collect()));
            let things = |recursive: bool| {
                let input = json!({"thingGroupName": group, "recursive": recursive});
                list("ListThingsInThingGroup", input, "things", "")
            };
            let whole: BTreeSet<_> = self.below(group).into_iter().chain([group]).collect();
            assert_eq!(things(false), all(self.members(&BTreeSet::from([group]))));
            assert_eq!(things(true), all(self.members(&whole)));
        }
        assert_eq!(list("ListThings", json!({}), "things", "thingName"), all(self.things.keys().copied().collect()));
        for (name, thing) in &self.things {
            let input = json!({"thingName": name});
            let listed = list("ListThingGroupsForThing", input.clone(), "thingGroups", "groupName");
            assert_eq!(listed, all(thing.groups.clone()));
            let told = lab.ok("DescribeThing", input);
            assert_eq!(told["thingTypeName"].as_str(), thing.type_);
            assert_eq!(told["billingGroupName"].as_str(), thing.bill);
        }
        let of = |is_meant: &dyn Fn(&Thing) -> bool| {
            all(self.things.iter().filter(|(_, thing)| is_meant(thing)).map(|(name, _)| *name).collect())
        };
        for type_ in TYPES {
            let listed = list("ListThings", json!({"thingTypeName": type_}), "things", "thingName");
            assert_eq!(listed, of(&|thing| thing.type_ == Some(type_)));
        }
        for bill in self.bills.iter().copied() {
            let listed = list("ListThingsInBillingGroup", json!({"billingGroupName": bill}), "things", "");
            assert_eq!(listed, of(&|thing| thing.bill == Some(bill)));
        }
    }
}

#[test]
fn the_registry_is_what_its_model_says() {
    let mut tally = BTreeMap::<(&str, bool), usize>::new();
    for seed in 0..40 {
        let (lab, mut model, mut dice) = (Lab::new(), Model::default(), Dice(seed));
        for type_ in TYPES {
            lab.ok("CreateThingType", json!({"thingTypeName": type_}));
        }
        for number in 0..120 {
            let ((operation, input), can) = model.step(&mut dice);
            let answer = lab.call(operation, input.clone());
            assert_eq!(answer.is_ok(), can, "seed {seed}, step {number}: {operation} {input}: {answer:?}");
            *tally.entry((operation, can)).or_default() += 1;
            if number % 12 == 11 {
                model.check(&lab);
            }
        }
        assert_eq!(lab.faults(), 0);
    }
    // Every kind of step has been taken, and refused where it can be.
    let refused = tally.keys().filter(|(_, can)| !can).count();
    assert!(tally.len() - refused == 10 && refused >= 7, "{tally:?}");
}
