package engine

// The words of made-up names: what a scale weighs, and how.
var (
	nameHow  = [...]string{"able", "agile", "airy", "brave", "brief", "bright", "brisk", "calm", "clean", "clear", "clever", "cool", "crisp", "deft", "eager", "early", "exact", "fair", "fast", "fine", "fleet", "fresh", "gentle", "glad", "golden", "handy", "honest", "jolly", "keen", "kind", "lean", "light", "lively", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "plain", "polite", "proud", "pure", "quick", "quiet", "ready", "sharp", "sleek", "slim", "smart", "smooth", "snug", "solid", "sound", "spare", "steady", "sunny", "swift", "tidy", "true", "vivid", "warm", "wise"}
	nameWhat = [...]string{"acorn", "amber", "anchor", "apple", "arrow", "basket", "beacon", "birch", "bottle", "box", "brick", "bucket", "button", "candle", "carat", "cask", "chest", "clove", "cobalt", "copper", "coral", "cork", "crate", "crown", "cup", "drum", "feather", "flask", "flint", "gram", "hamper", "hatch", "hazel", "jar", "kettle", "kite", "ladle", "lantern", "leaf", "linen", "locket", "maple", "marble", "mint", "nutmeg", "ounce", "pallet", "pearl", "pebble", "pepper", "petal", "pine", "pouch", "quill", "reed", "ribbon", "saffron", "shell", "silk", "spool", "thimble", "timber", "tin", "walnut"}
)

// randomName returns a name that follows from a random id; each try gives
// another one.
func randomName(id string, try int) string {
	h := uint32(2166136261) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	h += uint32(try) * 2654435761
	how, what := nameHow[h>>8%uint32(len(nameHow))], nameWhat[h>>20%uint32(len(nameWhat))]
	name := how + "_" + what
	if try > 0 {
		const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
		name += "_" + string([]byte{digits[h%36], digits[h/36%36], digits[h/1296%36]})
	}
	return name
}
