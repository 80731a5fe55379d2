package ground

// The words of made-up names: what a scale weighs, and how.
var (
	nameHow  = [...]string{"able", "agile", "airy", "brave", "brief", "bright", "brisk", "calm", "clean", "clear", "clever", "cool", "crisp", "deft", "eager", "early", "exact", "fair", "fast", "fine", "fleet", "fresh", "gentle", "glad", "golden", "handy", "honest", "jolly", "keen", "kind", "lean", "light", "lively", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "plain", "polite", "proud", "pure", "quick", "quiet", "ready", "sharp", "sleek", "slim", "smart", "smooth", "snug", "solid", "sound", "spare", "steady", "sunny", "swift", "tidy", "true", "vivid", "warm", "wise"}
	nameWhat = [...]string{"acorn", "amber", "anchor", "apple", "arrow", "basket", "beacon", "birch", "bottle", "box", "brick", "bucket", "button", "candle", "carat", "cask", "chest", "clove", "cobalt", "copper", "coral", "cork", "crate", "crown", "cup", "drum", "feather", "flask", "flint", "gram", "hamper", "hatch", "hazel", "jar", "kettle", "kite", "ladle", "lantern", "leaf", "linen", "locket", "maple", "marble", "mint", "nutmeg", "ounce", "pallet", "pearl", "pebble", "pepper", "petal", "pine", "pouch", "quill", "reed", "ribbon", "saffron", "shell", "silk", "spool", "thimble", "timber", "tin", "walnut"}
)

// MadeUpName returns the name of a container that nobody named. It follows
// from the id, 35 bits of it, and is as good as unique: nothing has to be
// reserved.
func MadeUpName(id string) string {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	how, what := nameHow[h>>8%uint64(len(nameHow))], nameWhat[h>>20%uint64(len(nameWhat))]
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	h >>= 32
	return how + "_" + what + "_" + string([]byte{digits[h%36], digits[h/36%36], digits[h/1296%36], digits[h/46656%36], digits[h/1679616%36]})
}
