"""Pickles of strangers, run without trusting them.

A pickle is a program. It is looked through before it is run: it may use the few instructions that build dicts, lists,
tuples, sets and numbers, and may name only what its reader allows, which are makers of ours: they keep what they are
given, and what it means is looked at afterwards. Sizes are held against the bytes that are there.

Instructions as in Python's pickletools.
"""

import contextlib
import os
import pickle
import pickletools
from collections import OrderedDict

from gan_tf.errors import UsageError

MOST_PICKLE = 1 << 22  # bytes of instructions in a file; state dicts of thousands of tensors need an eighth of it
MOST_FILE = 16 << 30  # bytes of a file; a sparse one may claim any size without taking a disk
MOST_COPIED = 1 << 18  # items that a pickle has copied out of lists into dicts and sets
MOST_KEY = 1 << 20  # of a dict whose keys are numbers, as those of optimisers are

INSTRUCTIONS = (
    "PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID MEMOIZE BINPUT LONG_BINPUT BINGET "
    "LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINSTRING SHORT_BINSTRING BINUNICODE "
    "SHORT_BINUNICODE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS"
)
OPCODES = frozenset(INSTRUCTIONS.split())
BYTES = frozenset(["SHORT_BINBYTES", "BINBYTES", "BINBYTES8"])  # the numbers of arrays, where a reader allows them


class Refused(Exception):
    """The pickle asks for something that is not allowed; the text names it."""


class FileError(UsageError):
    """One whose line names the file already."""


class Maker:
    """What a pickle gets for a name that it may use; without attributes, so that it cannot be changed.

    A sub-class says what comes of calling it (`__call__`), or of making an object without calling anything (`new`),
    and whether a call copies the items of its argument (`copies`): a few bytes of pickle can ask for it again and
    again.
    """

    __slots__ = ()
    copies = False

    def __call__(self, *arguments):
        raise ValueError("a call of something that cannot be called")

    def new(self, *arguments):
        raise ValueError("an object of something that is no class")


class Filled:
    """An object that is made empty and given its `state` once, by BUILD."""

    __slots__ = ("kind", "state")

    def __init__(self, kind):
        self.kind, self.state = kind, None

    def fill(self, state):
        """Takes the state."""
        if self.state is not None:
            raise ValueError("an object that is given its state twice")
        self.state = state


class DictMaker(Maker):
    """What a pickle gets for collections.OrderedDict, and for other dicts."""

    __slots__ = ()
    copies = True

    def __call__(self, pairs=()):
        require_keys(pair[0] for pair in pairs)
        return OrderedDict(pairs)

    def new(self):
        return OrderedDict()


def require_keys(keys):
    """Raises ValueError unless all are strings or small numbers.

    Hashing tuples in tuples may never end, or crash, and large numbers can be chosen so that all hash alike.
    """
    for key in keys:
        if type(key) is not str and not (type(key) is int and 0 <= key < MOST_KEY):
            raise ValueError(f"a value whose name is a {type(key).__name__}")


class Unpickler(pickle._Unpickler):  # the one in Python: its instructions can be made stricter
    """Runs a pickle that has been looked through.

    Args:
        stream: what to read from.
        allowed: {(module, name): Maker, or a plain value}.
        referred: function of what a BINPERSID refers to; None: nothing may be referred to.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream, allowed, referred=None):
        super().__init__(stream, encoding="utf-8")
        self.allowed, self.referred = allowed, referred
        self.copies_left = MOST_COPIED

    def load_frame(self):
        self.read(8)  # frames only spare small reads, and a large one would be held twice

    def load_setitem(self):
        require_keys([self.stack[-2]])
        super().load_setitem()

    def load_setitems(self):
        require_keys(self.stack[::2])  # those since the mark
        super().load_setitems()

    def load_additems(self):
        if not isinstance(self.metastack[-1][-1], set):
            raise ValueError("items added to what is no set")
        require_keys(self.stack)
        super().load_additems()

    def load_reduce(self):
        arguments, maker = self.stack[-1], self.stack[-2]
        if not isinstance(maker, Maker) or type(arguments) is not tuple:
            raise ValueError("a call of something that cannot be called")
        if maker.copies:
            if not all(type(items) in (list, tuple) for items in arguments):
                raise ValueError("a dict or set of something that is no list")
            self.copies_left -= sum(map(len, arguments))
            if self.copies_left < 0:
                raise ValueError(f"more than {MOST_COPIED} items copied")
        super().load_reduce()

    def load_newobj(self):
        arguments, kind = self.stack.pop(), self.stack.pop()
        if not isinstance(kind, Maker):
            raise ValueError("an object of something that is no class")
        self.append(kind.new(*arguments))

    def load_build(self):
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Filled):
            made.fill(state)
        elif not isinstance(made, OrderedDict):  # whose attributes say nothing about its items
            raise ValueError(f"a state for a {type(made).__name__}")

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module, name):
        refuse_unless_allowed(module, name, self.allowed)
        return self.allowed[module, name]

    def persistent_load(self, pid):
        if self.referred is None:
            raise ValueError("a reference to something outside of the pickle")
        return self.referred(pid)


class Stream:
    """An open file between two places, as a pickle is read from it: no read makes room for more than is there."""

    def __init__(self, file, begin, end):
        self.file, self.end = file, end
        file.seek(begin)

    def tell(self):
        return self.file.tell()

    def seek(self, place):
        self.file.seek(place)

    def left(self):
        """Bytes up to the end."""
        return max(0, self.end - self.file.tell())

    def read(self, count):
        return self.file.read(max(0, min(count, self.left())))

    def readline(self):
        return self.file.readline(min(self.left(), MOST_PICKLE))


def refuse_unless_allowed(module, name, allowed):
    """Raises Refused with the name, unless the pickle may use it."""
    if (module, name) not in allowed:
        raise Refused(f"{module}.{name}"[:200].encode("unicode_escape").decode())


def size_within(file):
    """Bytes of an open file. Raises ValueError if they are more than any file of weights has."""
    size = os.fstat(file.fileno()).st_size
    if size > MOST_FILE:
        raise ValueError(f"it has {size >> 30} GB, more than the {MOST_FILE >> 30} of any such file")
    return size


def foreign_name(stream, allowed):
    """The first name that a whole pickle of any protocol asks for in words, and may not use; None if there is none."""
    found = None
    with contextlib.suppress(ValueError):
        for opcode, argument, position in pickletools.genops(stream):
            if opcode.name in ("GLOBAL", "INST") and tuple(argument.split(" ", 1)) not in allowed:
                found = found or argument.replace(" ", ".", 1)
            if opcode.name == "STOP":
                return found
            if position > MOST_PICKLE:
                break
    return None


def load(stream, allowed, referred=None, opcodes=OPCODES, most=MOST_PICKLE):
    """Looks a pickle through from the stream's position on, runs it, and leaves the stream behind it.

    Args:
        stream: Stream.
        allowed, referred: of Unpickler.
        opcodes: names of the instructions that it may use.
        most: bytes of instructions, without the bytes that they carry as numbers of arrays.

    Raises:
        Refused: it asks for what is not allowed. ValueError: it is damaged.
    """
    start, carried = stream.tell(), 0
    for i, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
        if opcode.name in ("GLOBAL", "INST"):
            refuse_unless_allowed(*argument.split(" ", 1), allowed)
        if opcode.name not in opcodes:
            stream.seek(start)
            _run(Spliced(stream, position), allowed, referred)  # a global before it is refused here, by name
            raise Refused(f"the pickle instruction {opcode.name}")
        if opcode.name == "FRAME" and argument > stream.left():
            raise ValueError("a frame larger than the file")
        if opcode.name.endswith("PUT") and argument > i:
            raise ValueError("a memo larger than the pickle")  # for which the unpickler would make room
        if opcode.name in BYTES:
            carried += len(argument)
        if position - start - carried > most:
            raise ValueError(f"more than {most} bytes of instructions")
    stream.seek(start)
    value, error = _run(stream, allowed, referred)
    if error is not None:
        raise ValueError(str(error)) from error
    return value


class Spliced:
    """A stream that ends with STOP at a place: the part of a pickle before an instruction that is not run."""

    def __init__(self, stream, end):
        self.stream, self.end = stream, end

    def read(self, count):
        left = self.end - self.stream.tell()
        return self.stream.read(min(count, left)) if left > 0 else pickle.STOP * min(count, 1)

    def readline(self):
        return self.stream.readline()


def _run(stream, allowed, referred):
    """Runs instructions that were looked through: (value, error), one of them None."""
    try:
        return Unpickler(stream, allowed, referred).load(), None
    except (Refused, MemoryError):
        raise
    except Exception as error:  # whatever senseless instructions lead to, the file is at fault
        return None, error


@contextlib.contextmanager
def one_line(path, kind):
    """Turns what goes wrong in reading `path` as a file of this kind into one line that names it.

    Raises:
        FileError: in place of Refused, ValueError, MemoryError and OSError.
    """
    try:
        yield
    except UsageError:  # a line already, and a ValueError
        raise
    except Refused as refusal:
        raise FileError(
            f"{path} asks for {refusal}, which weights do not need and which could run a program: it was not read; "
            "get the file from its publisher"
        ) from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise FileError(f"{path} needs more memory than is free; close other programs, or get another file") from error
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise FileError(f"{path} is damaged, incomplete or no {kind} ({reason}): get the file anew") from error
