package events

import "maps"

// OfContainer returns an event of a container; attrs are further attributes,
// name and value in turns. As in Docker the labels are attributes too.
func OfContainer(action, id, name, image string, labels map[string]string, attrs ...string) *Event {
	a := make(map[string]string, len(labels)+2+len(attrs)/2)
	maps.Copy(a, labels)
	a["image"], a["name"] = image, name
	for i := 0; i+1 < len(attrs); i += 2 {
		a[attrs[i]] = attrs[i+1]
	}
	return &Event{Type: Container, Action: action, Actor: Actor{ID: id, Attributes: a}}
}

// OfImage returns an event of an image. ID is "sha256:HEX", name what the user
// called it, or the ID again.
func OfImage(action, id, name string, labels map[string]string) *Event {
	a := make(map[string]string, len(labels)+1)
	maps.Copy(a, labels)
	a["name"] = name
	return &Event{Type: Image, Action: action, Actor: Actor{ID: id, Attributes: a}}
}
