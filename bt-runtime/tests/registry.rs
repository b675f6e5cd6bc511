//! Profiles in binaries whose plug-ins cannot serve: this one links two choke policies of one name, and no
//! other plug-in at all.

use bt_api::plugin::{BuildError, Choke};
use bt_api::{ChokePolicy, Plugin};
use bt_runtime::Profile;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Config {}

struct One;
struct Other;

impl Plugin for One {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "fair";
    const SUMMARY: &'static str = "one";
    fn build(_: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Err(BuildError::new("x", "is never asked for"))
    }
}
bt_api::register!(One);

impl Plugin for Other {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "fair";
    const SUMMARY: &'static str = "other";
    fn build(_: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Err(BuildError::new("x", "is never asked for"))
    }
}
bt_api::register!(Other);

#[test]
fn two_plug_ins_of_one_name_are_refused() {
    let message = Profile::from_text("p", "[choke]\nuse = \"fair\"\n", &[]).unwrap_err().to_string();
    assert_eq!(
        message,
        "p.toml:2:7: two choke policies are named `fair`: one from bt-runtime 0.1.0, one from bt-runtime 0.1.0"
    );
}
