from os.path import basename, dirname, join
from glob import glob

__all__ = [basename(path)[:-3] for path in glob(join(dirname(__file__), "*.py")) if not path.endswith("__init__.py")]
