#!/usr/bin/env python3
"""Writes cases.json: what oslo.config itself makes of many files.

Run it where oslo.config is installed:  python3 make.py > cases.json
The options stand in ../oslo.rs once more.
"""

import json
import os
import re
import sys
import tempfile

from oslo_config import cfg


DEFAULT = [
    cfg.StrOpt("text"),
    cfg.ListOpt("list", default=["x", "y"]),
    cfg.DictOpt("dict"),
    cfg.IntOpt("shared", default=7),
]
FLAGS = [
    cfg.BoolOpt("debug", default=False),
    cfg.StrOpt("state_path", default="/var/lib"),
    cfg.StrOpt("log-file", deprecated_name="logfile"),
]
GROUP = [
    cfg.StrOpt("text", default="$state_path/x"),
    cfg.IntOpt("number", min=1, max=10, default=5),
    cfg.IntOpt("choice_number", choices=[4, 6], default=4),
    cfg.FloatOpt("ratio", min=0.0, max=4.5, default=1.0),
    cfg.PortOpt("port", default=4789),
    cfg.IPOpt("ip"),
    cfg.HostAddressOpt("address"),
    cfg.StrOpt("choice", choices=["a", "b"], default="a"),
    cfg.StrOpt("any_case", choices=["Days", "Hours"], ignore_case=True, default="days"),
    cfg.BoolOpt("flag", default=True),
    cfg.MultiStrOpt("many"),
    cfg.StrOpt("new", deprecated_opts=[cfg.DeprecatedOpt("old"), cfg.DeprecatedOpt("was", group="Past")]),
]

#: Files, arguments, environment, and the options that are asked for.
CASES = []


def case(files, want, args=None, env=None):
    if isinstance(files, str):
        files = {"a.conf": files}
    if args is None:
        args = [part for name in files for part in ("--config-file", name)]
    CASES.append({"files": files, "args": args, "env": env or {}, "want": want.split()})


def group(lines, want, **more):
    case("[G]\n" + lines + "\n", " ".join("g." + name for name in want.split()), **more)


def default(lines, want="text", **more):
    case("[DEFAULT]\n" + lines + "\n", want, **more)


# The text of a file.
for value in ("plain", '"quoted"', "'quoted'", "\"half", "half\"", '"', '""', "'\"both\"'", "a # b", "a ; b",
              "  spaces  ", "", "a = b : c", '"a" b "c"', "\\n", "a\tb", "\u00fc"):
    default("text =" + value)
    default("text:" + value)
default("text = a\n b\n\tc\n   d  ")
default("text = a\n  # no comment\n b")
default("text = 'a\n b'")
default("text =\n  a")
default("text = a\n\n b")
default("text = a\n# comment\n b")
default("text = a\n\n# comment\nlist = b", "text list")
default("text = a\r\n b\r\nlist = c\r", "text list")
default("text = 1\ntext = 2")
default("TEXT = 1")
default("text\n")
default("= 1")
default("text : = 1")
default("te xt = 1\ntext= 2")
case("text = 1\n[DEFAULT]\n", "text")
case("[DEFAULT\ntext = 1\n", "text")
case("[DEFAULT] # comment\ntext = 1\n", "text")
case("[]\ntext = 1\n", "text")
case("[ DEFAULT ]\ntext = 1\n", "text")
case("[default]\ntext = 1\n", "text")
case("[g]\nnumber = 2\n[G]\nnumber = 3\n[G]\nchoice = b", "g.number g.choice")
case("[G]\nnumber = 3\n[g]\nnumber = 2\n", "g.number")
case("  [DEFAULT]\ntext = 1\n", "text")
case("; c\n# c\n[DEFAULT]\n;text = 2\ntext = 1", "text")

# Types.
for value in ("true", "True", "YES", "on", "1", "false", "No", "off", "0", "2", "y", "", "tr ue"):
    group("flag = " + value, "flag")
for value in ("1", "10", "0", "11", "+3", "-3", "1_0", "_1", "1__0", "03", "3.0", "", "0x3", "x", "' 4 '"):
    group("number = " + value, "number")
for value in ("4", "6", "5", ""):
    group("choice_number = " + value, "choice_number")
for value in ("1", "4.5", "4.6", "-0.1", "1e0", ".5", "5.", "inf", "-inf", "nan", "1_0.0", "0_0.5", "x", ""):
    group("ratio = " + value, "ratio")
for value in ("0", "65535", "65536", "-1", ""):
    group("port = " + value, "port")
for value in ("192.0.2.1", "2001:DB8::1", "192.0.2.01", "192.0.2", "::ffff:192.0.2.1", "fe80::1%eth0", "host", "",
              "192.0.2.256"):
    group("ip = " + value, "ip")
    group("address = " + value, "address")
for value in ("host", "host.example", "host.example.", "a_b", "-a", "a-", "a" * 63, "a" * 64, "1.2.3", "a..b",
              "x." * 126 + "a", "x." * 127 + "a", "10", "a.1"):
    group("address = " + value, "address")
for value in ("a", "b", "c", "A", ""):
    group("choice = " + value, "choice")
for value in ("days", "DAYS", "hours", "d"):
    group("any_case = " + value, "any_case")
for value in ("", "a", "a,b", " a , b ", "a,,b", "a,", ",a", "a,,", "[a,b]", "'a','b'", "a b,c", "a\n ,b\n ,c"):
    default("list = " + value, "list")
for value in ("", "a:1", "a:1,b:2", " a : 1 , b : 2 ", "a:1:2", "a", "a,b:1", "a:1,b", ":1", "a:1,a:2", "a:", "a:1,"):
    default("dict = " + value, "dict")
for lines in ("many = a", "many = a\nmany = b,c", "many ="):
    group(lines, "many")

# Substitution.
for value in ("$state_path/y", "${state_path}y", "$$state_path", "\\$state_path", "$nobody", "${nobody}", "$ x", "$1",
              "${state_path", "$state_path.", "$shared", "${DEFAULT.text}", "$g.number", "${G.number}", "${G.text}/z",
              "$list", "${G.flag}", "${G.ratio}", "${G.ip}", "${log_file}", "$STATE_PATH", "a$", "$debug", "$dict",
              "${X.y}", "$$$shared", "${G.nobody}"):
    default("text = " + value)
    group("text = " + value, "text")
group("text = $number", "text")
group("number = $shared", "number")
group("number = ${shared}0", "number")
group("text = ${G.number}\nnumber = 11", "text")
group("many = $shared\nmany = x$number", "many")
default("text = $text")
case("[DEFAULT]\ntext = ${G.text}\n[G]\ntext = ${DEFAULT.text}\n", "text")
default("list = $shared,b", "list")
default("dict = a:$shared,$shared:b", "dict")

# Former names.
group("old = 1", "new")
group("new = 2\nold = 1", "new")
group("old = 1\nnew = 2", "new")
case("[Past]\nwas = 3\n", "g.new")
case("[past]\nwas = 3\n[G]\nold = 1\n", "g.new")
case({"a.conf": "[G]\nnew = 1\n", "b.conf": "[G]\nold = 2\n"}, "g.new")
default("logfile = a", "log_file")
default("log-file = a", "log_file")
default("log_file = a", "log_file")

# Several files.
TWO = {"a.conf": "[DEFAULT]\ntext = a\ndebug = true\n[G]\nmany = 1\nmany = 2\nnumber = 1\n",
       "b.conf": "[DEFAULT]\ntext = b\n[g]\nmany = 3\n"}
case(TWO, "text debug g.many g.number")
case(TWO, "text debug g.many g.number", args=["--config-file", "b.conf", "--config-file=a.conf"])
case({"d/z.conf": "[DEFAULT]\ntext = z\n", "d/b.conf": "[DEFAULT]\ntext = b\n", "d/c.ini": "[DEFAULT]\ntext = c\n",
      "a.conf": "[DEFAULT]\ntext = a\nshared = 1\n"}, "text shared", args=["--config-file", "a.conf", "--config-dir", "d"])
case({"d/z.conf": "[DEFAULT]\ntext = z\n", "a.conf": "[DEFAULT]\ntext = a\n"}, "text",
     args=["--config-dir", "d", "--config-file", "a.conf"])

# The command line and the environment.
DEBUG = {"a.conf": "[DEFAULT]\ndebug = false\nstate_path = /file\n"}
FILE = ["--config-file", "a.conf"]
case(DEBUG, "debug state_path", args=FILE + ["--debug", "--state_path", "/line"])
case(DEBUG, "debug state_path", args=["--debug", "--state_path=/line"] + FILE)
case(DEBUG, "debug", args=FILE + ["--debug", "--nodebug"])
case(DEBUG, "debug text", env={"OS_DEFAULT__DEBUG": "yes", "OS_DEFAULT__TEXT": "env"})
case({"a.conf": "[G]\nnumber = 2\n"}, "g.number g.choice", env={"OS_G__NUMBER": "3", "OS_G__CHOICE": "b"})
case({"a.conf": "[G]\nnumber = 2\n"}, "g.number", env={"OS_G__NUMBER": "30"})
case({"a.conf": "[G]\nnumber = 2\n"}, "g.number g.new", env={"os_g__number": "3", "OS_G__OLD": "x"})
case({"a.conf": ""}, "debug log_file", args=FILE + ["--debug", "--log-file", "f"],
     env={"OS_DEFAULT__DEBUG": "no", "OS_DEFAULT__LOG_FILE": "e"})
case({"a.conf": ""}, "text", env={"OS_DEFAULT__TEXT": "$shared \"x\" "})


def evaluate(case, directory):
    for name, text in case["files"].items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", newline="") as file:
            file.write(text)
    os.chdir(directory)
    conf = cfg.ConfigOpts()
    conf.register_opts(DEFAULT)
    conf.register_cli_opts(FLAGS)
    conf.register_opts(GROUP, group="G")
    os.environ.clear()
    os.environ.update(case["env"])
    try:
        conf(case["args"], prog="prog", project="project")
    except cfg.ConfigFileParseError as error:
        return {"line": int(re.search(r":(\d+), ", str(error)).group(1))}
    except (cfg.Error, SystemExit) as error:
        return {"error": type(error).__name__}
    values = {}
    for name in case["want"]:
        section, option = ([None] + name.split("."))[-2:]
        try:
            values[name] = {"value": conf["G"][option] if section else conf[option]}
            if isinstance(values[name]["value"], float):
                values[name]["value"] = repr(values[name]["value"])
        except (cfg.Error, RecursionError) as error:
            values[name] = {"error": type(error).__name__}
    return values


def main():
    sys.stderr = open(os.devnull, "w")
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            case["result"] = evaluate(case, directory)
            os.chdir("/")
    for case in CASES:
        print(json.dumps(case, sort_keys=True))


main()
